"""Models as they are made, opened, saved, and proved to be what was trained."""

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.integrations import unset_hf_deepspeed_config
from transformers.utils import is_flash_attn_2_available
from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION, is_kernels_available

from posttrain.build.job import Job
from posttrain.files import Refusal
from posttrain.words import did_you_mean, nearest


def open_tokenizer(job: Job) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(job.inputs["tokenizer"])


def open_tokens(job: Job) -> Dataset:
    """The tokens, mapped into memory as they lie on the disk."""
    rows, needed = Dataset.from_file(str(job.inputs["tokens"] / "train.arrow")), job.recipe["train"]["batch_size"]
    if len(rows) < needed:
        raise Refusal(f"train.batch_size {needed} is more than the {len(rows)} rows there are; lower it or add rows")
    return rows


def init(architecture: dict, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A model of the given architecture with random weights, its vocabulary the tokenizer's."""
    kind = architecture["model_type"]
    try:
        known = AutoConfig.for_model(kind).to_dict()
    except ValueError:
        hint = did_you_mean(kind, nearest(kind, list(CONFIG_MAPPING)) or ["llama"])
        raise Refusal(f"architecture.model_type: transformers knows no {kind!r}. {hint}") from None
    for key in architecture:
        if key not in known:
            raise Refusal(f"architecture.{key}: no such key of {kind}. {did_you_mean(key, list(known))}")
    config = AutoConfig.for_model(**{"vocab_size": len(tokenizer), **architecture})
    agree_on_ends(config, tokenizer)
    set_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    agree_on_ends(model.generation_config, tokenizer)
    return model


def open_base(job: Job, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The base model in the recipe's dtype, with rows for the tokens that the tokenizer has and it lacks."""
    if has_head(job.inputs["base"]):
        raise Refusal("the base is a reward model: it gives scores, and says nothing; name what it was made of")
    return fitted(AutoModelForCausalLM.from_pretrained(job.inputs["base"], **said_of_base(job)), job, tokenizer)


def open_reward_base(job: Job, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, bool]:
    """The base model with a head of one score, and whether that was drawn anew: a base's own is kept."""
    if has_head(job.inputs["base"]) and (labels := AutoConfig.from_pretrained(job.inputs["base"]).num_labels) != 1:
        raise Refusal(f"the base gives {labels} scores, and a reward model gives one; name another base")
    set_seed(job.recipe["train"]["seed"])  # a new head is drawn as it is opened
    model, report = AutoModelForSequenceClassification.from_pretrained(
        job.inputs["base"], num_labels=1, output_loading_info=True, **said_of_base(job)
    )
    return fitted(model, job, tokenizer), bool(report["missing_keys"])


def has_head(base: Path) -> bool:
    """Whether a model gives scores, and no tokens."""
    said = AutoConfig.from_pretrained(base).architectures or []
    return any(name.endswith("ForSequenceClassification") for name in said)


def said_of_base(job: Job) -> dict[str, Any]:
    said = {
        "dtype": getattr(torch, job.recipe["train"]["dtype"]),
        "attn_implementation": attention(job),
        "use_safetensors": True,
    }
    return said | ({"use_kernels": True} if kernels_wanted(job) else {})


def attention(job: Job) -> str:
    """The attention kernel that a recipe's runtime asks for; `auto` is flash-attn's where it can run."""
    said, train = job.runtime["attn_implementation"], job.recipe["train"]
    if said != "auto":
        return said
    halved = train["bf16"] or train["dtype"] == "bfloat16"  # flash-attn knows no float32
    return "flash_attention_2" if job.runtime["gpus"] and halved and flash_attn_works() else "sdpa"


def flash_attn_works() -> bool:
    """Whether flash-attn is there and can be imported: built for another torch, it cannot."""
    try:
        return is_flash_attn_2_available() and bool(importlib.import_module("flash_attn"))
    except ImportError:
        return False


def kernels_wanted(job: Job) -> bool:
    """Whether the hub's kernels are to be used. Raises: Refusal, if they are and cannot be."""
    if job.runtime["use_kernels"] and not is_kernels_available():
        raise Refusal(
            f"runtime.use_kernels: transformers needs the package kernels for it, from {KERNELS_MIN_VERSION} on and "
            f"below {KERNELS_MAX_VERSION}; install it, or say `use_kernels: false`"
        )
    return job.runtime["use_kernels"]


def fitted(model: PreTrainedModel, job: Job, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A base with rows for the tokens that the tokenizer has and it lacks, and the tokenizer's ends."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        set_seed(job.recipe["train"]["seed"])  # new rows are drawn around the mean of the old
        model.resize_token_embeddings(len(tokenizer))
    agree_on_ends(model.config, tokenizer)
    if model.can_generate():
        agree_on_ends(model.generation_config, tokenizer)
    model.config.use_cache = False
    job.metrics["attn_implementation"] = model.config._attn_implementation
    if job.runtime["use_kernels"] and not any("forward" in vars(module) for module in model.modules()):
        raise Refusal(  # transformers leaves what it finds no kernel for as it is, and only says so
            "runtime.use_kernels: no layer of this model has a kernel here; fetch its kernels into a folder that "
            "KERNELS_CACHE names (a job that trains is offline), or say `use_kernels: false`"
        )
    return model


def agree_on_ends(config: object, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have a model's configuration name the tokenizer's end, begin and pad: else it generates without end."""
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: Job) -> None:
    """Save a model that was not trained here, with its tokenizer, and prove it."""
    model.save_pretrained(job.out)
    tokenizer.save_pretrained(job.out)
    prove(model, job, sharded=False)
    job.metrics["parameters"] = model.num_parameters()


def prove(model: PreTrainedModel, job: Job, sharded: bool) -> None:
    """Open what was saved, and refuse it unless every tensor is finite and the one that was trained.

    Of a sharded model no process has all tensors; there every name must be found, and every value be finite.
    """
    unset_hf_deepspeed_config()  # else ZeRO-3 would shard what is opened here over ranks that are not asked
    kind = AutoModelForSequenceClassification if has_head(job.out) else AutoModelForCausalLM
    opened, report = kind.from_pretrained(job.out, dtype="auto", use_safetensors=True, output_loading_info=True)
    saved, trained = opened.state_dict(), model.state_dict()
    # What a file lacks is drawn anew when it is opened, so that the names alone would look right.
    odd = {*report["missing_keys"], *report["unexpected_keys"], *(set(saved) ^ set(trained))}
    if odd:
        raise Refusal(f"the saved model is not the trained one: {min(odd)} is in one of them only")
    for name, tensor in saved.items():
        if not tensor.numel() or (tensor.is_floating_point() and not torch.isfinite(tensor).all()):
            raise Refusal(f"the saved model is broken: {name} is empty or not finite")
        if not sharded and not torch.equal(tensor, trained[name].cpu()):
            raise Refusal(f"the saved model is not the trained one: {name} differs")


def without_circumstance(job: Job) -> None:
    """Take from the saved files what tells where they were made: equal models have equal files."""
    (job.out / "training_args.bin").unlink(missing_ok=True)  # a pickle, too
    path = job.out / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    config["use_cache"] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
