"""What training jobs keep in memory: each term against the tensors that PyTorch really keeps, and how they add up."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

from posttrain.plan import memory, size

CONFIG = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
MODEL = size.architecture(CONFIG)
ROWS, LENGTH = 2, 64
PEFT = {"r": 8, "target_modules": "all-linear"}
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
TUNINGS = {
    "full": {},
    "bf16": {"bf16": True},
    "bfloat16": {"dtype": "bfloat16"},
    "lora": {"peft": PEFT},
    "lora with dropout": {"peft": PEFT | {"lora_dropout": 0.1}},
    "qlora": {"peft": PEFT, "quantization": NF4},
    "checkpointing": {"activation_checkpointing": True},
    "eager": {"attn_implementation": "eager"},
}


def job(method: str = "sft", peft: dict | None = None, quantization: dict | None = None, **said) -> tuple[dict, dict]:
    """A recipe and its circumstances, as a plan has them."""
    train = {"max_length": LENGTH, "dtype": "float32", "bf16": False, "optim": "adamw_torch"}
    runtime = {
        "gpus": 0, "processes": 1, "launch": "single", "micro_batch_size": ROWS, "gradient_accumulation_steps": 1,
        "activation_checkpointing": False, "attn_implementation": "sdpa",
    }  # fmt: skip
    assert said.keys() <= train.keys() | runtime.keys()
    train |= {name: value for name, value in said.items() if name in train}
    runtime |= {name: value for name, value in said.items() if name in runtime}
    return {"method": method, "train": train, "peft": peft, "quantization": quantization}, runtime


def of(**said) -> memory.Memory:
    return memory.of_training(MODEL, *job(**said))


def opened(own: dict, runtime: dict, folder) -> torch.nn.Module:
    """The model as a trainer has it."""
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG)).save_pretrained(folder)
    options = {"dtype": getattr(torch, own["train"]["dtype"]), "attn_implementation": runtime["attn_implementation"]}
    if own["quantization"]:
        pytest.importorskip("bitsandbytes", reason="4-bit weights are bitsandbytes'")
        options["quantization_config"] = BitsAndBytesConfig(**own["quantization"])
        options["device_map"] = "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    if own["peft"]:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **own["peft"]))
    if runtime["activation_checkpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def kept_for_backward(model: torch.nn.Module, bf16: bool) -> int:
    """Bytes of the tensors that a forward pass of the layers keeps, each storage once, weights left out."""
    weights, kept = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, or its place would be another's
        return tensor

    hooks: Callable = torch.autograd.graph.saved_tensors_hooks
    # No row is cut short, but rows that are padded have each key once for every query: so a mask is given.
    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[0, -1] = 0
    layers = model.get_base_model().model if hasattr(model, "get_base_model") else model.model
    with hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        layers(torch.randint(0, 300, (ROWS, LENGTH)), attention_mask=mask, use_cache=False)
    return sum(count for count, _ in kept.values())


@pytest.mark.parametrize("name", TUNINGS)
def test_activations_are_what_pytorch_keeps(name, tmp_path):
    own, runtime = job(**TUNINGS[name])
    found = kept_for_backward(opened(own, runtime, tmp_path), own["train"]["bf16"])
    said = memory.of_training(MODEL, own, runtime).activations
    if runtime["activation_checkpointing"]:  # a layer is computed again in the backward pass only
        said -= ROWS * LENGTH * memory.layer_of_token(MODEL, own, runtime)
    assert said == pytest.approx(found, rel=0.08)


@pytest.mark.parametrize("name", ["full", "bfloat16", "lora", "qlora"])
def test_weights_gradients_and_moments_are_what_pytorch_keeps(name, tmp_path):
    own, runtime = job(**TUNINGS[name])
    model = opened(own, runtime, tmp_path)
    said = memory.of_training(MODEL, own, runtime | {"gpus": 1})
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    for weights in trained:
        weights.grad = torch.zeros_like(weights)
    optimizer = torch.optim.AdamW(trained, fused=True)
    optimizer.step()
    moments = [moment for state in optimizer.state.values() for moment in state.values() if moment.numel() > 1]

    def count(tensors: list[torch.Tensor]) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    assert said.gradients == count([weights.grad for weights in trained])
    assert said.optimizer == count(moments)
    scales = sum(tensor.numel() * tensor.element_size() for tensor in quantisation(model))
    assert said.weights == pytest.approx(count(list(model.parameters())) + scales, rel=0.01)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("optim", ["adamw_bnb_8bit", "paged_adamw_32bit", "rmsprop"])
def test_moments_are_what_an_optimizer_keeps(optim, dtype, tmp_path):
    if optim != "rmsprop":
        pytest.importorskip("bitsandbytes", reason="it is an optimizer of bitsandbytes'")
    own, runtime = job(optim=optim, dtype=dtype)
    model = opened(own, runtime, tmp_path)
    args = TrainingArguments(output_dir=str(tmp_path), optim=optim, use_cpu=True, bf16=False)
    optimizer = Trainer(model, args).create_optimizer()
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimizer.step()
    kept = {
        value.data_ptr(): value.nbytes for state in optimizer.state.values() for value in state.values() if held(value)
    }
    assert of(optim=optim, dtype=dtype).optimizer == pytest.approx(sum(kept.values()), rel=0.01)


def held(value: object) -> bool:
    """Whether an optimizer holds it for some weights: no counter, nor bitsandbytes' table of what eight bits mean."""
    return isinstance(value, torch.Tensor) and value.numel() > 1 and value.shape != (256,)


def quantisation(model: torch.nn.Module) -> list[torch.Tensor]:
    states = [weights.quant_state for weights in model.parameters() if hasattr(weights, "quant_state")]
    return [tensor for state in states for tensor in (state.absmax, state.state2.absmax)]


def test_a_pair_is_two_sequences_and_a_reward_model_has_no_logits():
    assert of(method="dpo", micro_batch_size=1) == of(method="sft", micro_batch_size=2)
    assert of(method="reward").logits == 0
    assert of(method="orpo", micro_batch_size=1).logits < of(method="orpo", micro_batch_size=2).logits


@pytest.mark.parametrize(
    ("launch", "parts"),
    [
        ("ddp", set()),
        ("zero2", {"gradients", "optimizer"}),
        ("zero3", {"gradients", "optimizer", "weights"}),
        ("fsdp", {"gradients", "optimizer", "weights"}),
    ],
)
def test_a_launch_divides_what_it_spreads(launch, parts):
    four, eight = (of(launch=launch, processes=processes) for processes in (4, 8))
    less = {part for part in ("weights", "gradients", "optimizer") if getattr(eight, part) < getattr(four, part)}
    assert less == parts
    four, eight = (of(**TUNINGS["qlora"], launch=launch, processes=processes) for processes in (4, 8))
    assert four.weights == eight.weights, "nothing shards a base in four bits"
    assert eight.activations == four.activations


def test_what_saves_memory_is_seen_to_save_it():
    peaks = [of(**said, micro_batch_size=1, gpus=1).peak for said in (TUNINGS["full"], TUNINGS["lora"])]
    assert peaks[0] > peaks[1] > of(**TUNINGS["qlora"], micro_batch_size=1, gpus=1).peak
    assert of().peak > of(activation_checkpointing=True).peak
    assert of(gradient_accumulation_steps=2).peak > of().peak
