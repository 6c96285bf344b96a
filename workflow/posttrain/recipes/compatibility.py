"""What does not go together, and how it failed when it was tried: refused in the plan, before anything is paid for."""

from collections.abc import Iterator

from posttrain.recipes.methods import TrainedModel
from posttrain.recipes.training import BITSANDBYTES


def refusals(recipe: TrainedModel, micro_batch_size: int) -> Iterator[tuple[tuple, str]]:
    """The key of a recipe that cannot be trained as it is, and why: by TRL 1.16, PEFT 0.21 and bitsandbytes 0.50.

    Args:
        micro_batch_size: what the recipe says, or what its batch size leaves.
    """
    runtime, train = recipe.runtime, recipe.train
    if recipe.method == "kto" and train.couples_rows and micro_batch_size == 1:
        yield (
            ("runtime", "micro_batch_size"),
            "1 is too few: kto's KL is a mean over a micro-batch; say 2 or more",
        )
    if recipe.quantization and runtime.launch == "zero3":
        yield (
            ("runtime", "launch"),
            "zero3 opens no model in four bits; say ddp, zero2 or fsdp, by which each process holds it whole",
        )
    if train.dtype == "bfloat16" and recipe.peft and runtime.launch == "zero2":
        yield (
            ("train", "dtype"),
            "bfloat16 is what zero2 would round the adapter to as well; say float32, or launch ddp, zero3 or fsdp",
        )
    if train.dtype == "bfloat16" and train.bf16 and not recipe.peft and runtime.launch == "fsdp":
        yield (
            ("train", "dtype"),
            "bfloat16 is not what fsdp would learn: accelerate makes it float32; say float32",
        )
    if train.optim in BITSANDBYTES and runtime.launch == "fsdp":
        yield (
            ("train", "optim"),
            f"{train.optim} updates no weights that fsdp has sharded; say adamw_torch, or launch ddp, zero2 or zero3",
        )
    if train.optim in ("rmsprop", "adamw_bnb_8bit") and runtime.launch != "fsdp" and runtime.offload != "none":
        yield (
            ("runtime", "offload"),
            f"{runtime.offload} has DeepSpeed take its own Adam for {train.optim}; leave it out, or say adamw_torch",
        )
