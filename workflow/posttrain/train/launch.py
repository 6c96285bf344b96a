"""What a launch really is: several fall back to something else without a word, and end well."""

import os
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import convert_to_fp32
from torch.distributed.fsdp import CPUOffloadPolicy
from torch.distributed.tensor import DTensor
from transformers import Trainer

from posttrain.build.job import Job
from posttrain.files import Refusal

KINDS = {
    "single": (DistributedType.NO,),
    "ddp": (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU),
    "zero2": (DistributedType.DEEPSPEED,),
    "zero3": (DistributedType.DEEPSPEED,),
    "fsdp": (DistributedType.FSDP,),
}


def check(trainer: Trainer, job: Job) -> None:
    """Refuse a launch that is not what the recipe's runtime asks for. Before training."""
    runtime, accelerator = job.runtime, trainer.accelerator
    launch = runtime["launch"]
    mend = f"look at config/launch/{launch}.yaml"
    expect(launch, "device", "cuda" if runtime["gpus"] else "cpu", trainer.args.device.type, "is this torch CUDA's?")
    expect(launch, "number of processes", runtime["processes"], accelerator.num_processes, mend)
    share = runtime["processes"] // runtime["nodes"]
    expect(launch, "number of processes of a node", share, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), mend)
    kind = accelerator.distributed_type
    if kind not in KINDS[launch]:
        no_fsdp = "FSDP is for GPUs, which `gpus` asks for" if launch == "fsdp" and not runtime["gpus"] else mend
        expect(launch, "distributed type", KINDS[launch][0].value, kind.value, no_fsdp)
    if kind == DistributedType.DEEPSPEED:
        expect(launch, "ZeRO stage", int(launch.removeprefix("zero")), accelerator.deepspeed_plugin.zero_stage, mend)
    if kind == DistributedType.FSDP:
        expect(launch, "version of FSDP", 2, accelerator.state.fsdp_plugin.fsdp_version, mend)
    expect(launch, "offload", runtime["offload"], offload(accelerator), mend)
    # DeepSpeed marks what it shards; rows for new tokens, drawn after the load, it shards when training begins.
    if launch == "zero3" and not any(hasattr(weights, "ds_id") for weights in trainer.model.parameters()):
        raise Refusal(
            "launch zero3: every process has opened the whole model, for the trainer's arguments were made after it; "
            "make them before any model is opened, as scripts/train_sft.py does"
        )


def keep_precision(trainer: Trainer) -> None:
    """Have a model say what it says in float32, as accelerate has one under its own autocast and no other, and sum
    gradients over processes in it.
    """
    trainer.model.register_forward_hook(lambda *said: convert_to_fp32(said[-1]))
    if trainer.accelerator.distributed_type == DistributedType.FSDP:
        plugin = trainer.accelerator.state.fsdp_plugin
        if policy := plugin.mixed_precision_policy:
            plugin.mixed_precision_policy = replace(policy, reduce_dtype=torch.float32, output_dtype=None)


def check_learnt(trainer: Trainer, job: Job) -> None:
    """Refuse weights of another type than the recipe's, and learnt ones that a process holds whole but is not to.

    When training begins, which is when a launch has made of the model what it will.
    """
    launch, recipe = job.runtime["launch"], job.recipe
    mend = "say dtype: float32, and bf16: true to calculate in bfloat16"
    for name, weights in trainer.model.named_parameters():
        learnt = weights.requires_grad
        dtype = "float32" if learnt and recipe.get("peft") else recipe["train"]["dtype"]
        if learnt or not recipe.get("quantization"):
            expect(launch, f"type of {name}", dtype, str(weights.dtype).removeprefix("torch."), mend)
        if learnt and launch == "fsdp" and not isinstance(weights, DTensor):
            raise Refusal(f"launch fsdp: every process holds all of {name}; look at config/launch/fsdp.yaml")


def expect(launch: str, what: str, asked: Any, found: Any, mend: str) -> None:
    if found != asked:
        raise Refusal(f"launch {launch}: its {what} was to be {asked}, and is {found}; {mend}")


def offload(accelerator: Accelerator) -> str:
    """What a launch keeps in the CPU's memory, as `runtime.offload` says it."""
    if accelerator.distributed_type == DistributedType.FSDP:
        return "all" if isinstance(accelerator.state.fsdp_plugin.cpu_offload, CPUOffloadPolicy) else "none"
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return "none"
    said = accelerator.deepspeed_plugin.deepspeed_config["zero_optimization"]
    places = [said.get(f"offload_{part}", {}).get("device") == "cpu" for part in ("optimizer", "param")]
    return {(True, True): "all", (True, False): "optimizer", (False, False): "none"}[tuple(places)]
