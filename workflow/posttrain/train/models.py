"""Models as they are made, opened, saved, and proved to be what was trained."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.integrations import unset_hf_deepspeed_config

from posttrain.build.job import Job
from posttrain.checkpoints import ADAPTED, ADAPTER, adapter_config, config_of, is_adapter, on_base, weights_of
from posttrain.files import Refusal, read_json
from posttrain.words import did_you_mean, nearest


def open_tokenizer(job: Job) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(job.inputs["tokenizer"])


def open_tokens(job: Job) -> Dataset:
    """The tokens, mapped into memory as they lie on the disk, with the reference's log-probs if the method has one."""
    rows, needed = Dataset.from_file(str(job.inputs["tokens"] / "train.arrow")), job.recipe["train"]["batch_size"]
    if len(rows) < needed:
        raise Refusal(f"train.batch_size {needed} is more than the {len(rows)} rows there are; lower it or add rows")
    if "reference" not in job.inputs:
        return rows
    reference = Dataset.from_file(str(job.inputs["reference"] / "train.arrow"))
    return concatenate_datasets([rows, reference], axis=1)


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
    """The base as training finds it before its first step, which is the reference too: in the recipe's dtype or four
    bits, with rows for the tokens that the tokenizer has and it lacks. One that is an adapter is to be gone on with.
    """
    if has_head(job.inputs["base"]):
        raise Refusal("the base is a reward model: it gives scores, and says nothing; name what it was made of")
    model = AutoModelForCausalLM.from_pretrained(weights_of(job.inputs["base"]), **said_of_base(job))
    return adapted(fitted(model, job, tokenizer), job)


def open_reward_base(job: Job, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, bool]:
    """The base model with a head of one score, and whether that was drawn anew: a base's own is kept."""
    base = job.inputs["base"]
    if has_head(base) and (labels := config_of(base).num_labels) != 1:
        raise Refusal(f"the base gives {labels} scores, and a reward model gives one; name another base")
    set_seed(job.recipe["train"]["seed"])  # a new head is drawn as it is opened
    model, report = AutoModelForSequenceClassification.from_pretrained(
        weights_of(base), num_labels=1, output_loading_info=True, **said_of_base(job)
    )
    taught = is_adapter(base) and "score" in str(adapter_config(base)["modules_to_save"])
    return adapted(fitted(model, job, tokenizer), job), bool(report["missing_keys"]) and not taught


def has_head(base: Path) -> bool:
    """Whether a model gives scores, and no tokens."""
    if is_adapter(base):
        return adapter_config(base)["task_type"] == "SEQ_CLS"
    said = AutoConfig.from_pretrained(base).architectures or []
    return any(name.endswith("ForSequenceClassification") for name in said)


def said_of_base(job: Job) -> dict[str, Any]:
    said = {
        "dtype": getattr(torch, job.recipe["train"]["dtype"]),
        "attn_implementation": job.runtime["attn_implementation"],
        "use_safetensors": True,
    }
    if bits := job.recipe.get("quantization"):
        compute = torch.bfloat16 if job.recipe["train"]["bf16"] else torch.float32
        said["quantization_config"] = BitsAndBytesConfig(**bits, bnb_4bit_compute_dtype=compute)
        device = PartialState().device if job.runtime["gpus"] else torch.device("cpu")
        said["device_map"] = {"": device}  # it is quantised where it will be used
    return said


def fitted(model: PreTrainedModel, job: Job, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A base with rows for the tokens that the tokenizer has and it lacks, and the tokenizer's ends."""
    if job.recipe.get("quantization"):
        refuse_whole_weights(model)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        if job.recipe.get("peft"):
            raise Refusal(
                "the tokenizer has tokens that the base lacks, whose rows an adapter does not hold; add them first"
            )
        set_seed(job.recipe["train"]["seed"])  # new rows are drawn around the mean of the old
        model.resize_token_embeddings(len(tokenizer))
    agree_on_ends(model.config, tokenizer)
    if model.can_generate():
        agree_on_ends(model.generation_config, tokenizer)
    model.config.use_cache = False
    return model


def refuse_whole_weights(model: PreTrainedModel) -> None:
    """Raises: Refusal, unless every linear layer but the head is held in four bits, as was asked for."""
    head = {id(model.get_output_embeddings())} if model.can_generate() else {id(getattr(model, "score", None))}
    for name, module in model.named_modules():
        whole = isinstance(module, torch.nn.Linear) and getattr(module.weight, "quant_state", None) is None
        if whole and id(module) not in head:
            raise Refusal(f"quantization was to hold {name} in four bits, and its weights are {module.weight.dtype}")


def adapted(model: PreTrainedModel, job: Job) -> PreTrainedModel:
    """A base whose adapter is gone on with has it on; another is as it was."""
    base = job.inputs["base"]
    return on_base(model, base, trainable=True) if is_adapter(base) else model


def new_adapter(job: Job) -> LoraConfig | None:
    """The adapter that is to be drawn anew, if one is: that of a base is gone on with."""
    said = job.recipe.get("peft")
    if not said or is_adapter(job.inputs["base"]):
        return None
    kind = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]} if job.recipe["method"] == "reward" else {}
    return LoraConfig(**{"task_type": "CAUSAL_LM", **said, **kind})


def agree_on_ends(config: object, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have a model's configuration name the tokenizer's end, begin and pad: else it generates without end."""
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))


@torch.no_grad()
def probe(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """What a model makes of a few tokens of its own vocabulary; float32."""
    ids = torch.arange(min(len(tokenizer), 64))[None]
    return model(input_ids=ids).logits.float()


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
    if is_adapter(job.out):
        return prove_adapter(model, job, sharded)
    unset_hf_deepspeed_config()  # else ZeRO-3 would shard what is opened here over ranks that are not asked
    kind = AutoModelForSequenceClassification if has_head(job.out) else AutoModelForCausalLM
    opened, report = kind.from_pretrained(job.out, dtype="auto", use_safetensors=True, output_loading_info=True)
    # What a file lacks is drawn anew when it is opened, so that the names alone would look right.
    if odd := {*report["missing_keys"], *report["unexpected_keys"]}:
        raise Refusal(f"the saved model is not the trained one: {min(odd)} is in one of them only")
    return compare(opened.state_dict(), model.state_dict(), sharded)


def prove_adapter(model: PreTrainedModel, job: Job, sharded: bool) -> None:
    """The same of an adapter, whose base is as it was."""
    compare(load_file(job.out / ADAPTER), get_peft_model_state_dict(model), sharded)
    if weights_of(job.out) != weights_of(job.inputs["base"]):
        raise Refusal(f"the saved adapter says that it is of {weights_of(job.out)}")


def compare(saved: dict[str, torch.Tensor], trained: dict[str, torch.Tensor], sharded: bool) -> None:
    if odd := set(saved) ^ set(trained):
        raise Refusal(f"the saved model is not the trained one: {min(odd)} is in one of them only")
    for name, tensor in saved.items():
        if not tensor.numel() or (tensor.is_floating_point() and not torch.isfinite(tensor).all()):
            raise Refusal(f"the saved model is broken: {name} is empty or not finite")
        if not sharded and not torch.equal(tensor, trained[name].cpu()):
            raise Refusal(f"the saved model is not the trained one: {name} differs")


def without_circumstance(job: Job) -> None:
    """Take from the saved files what tells where they were made: equal models have equal files."""
    (job.out / "training_args.bin").unlink(missing_ok=True)  # a pickle, too
    if is_adapter(job.out):
        name_base(job)
        return
    path = job.out / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    config["use_cache"] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def name_base(job: Job) -> None:
    """Have an adapter's files say which model it is of, and which weights that had."""
    (job.out / "README.md").unlink(missing_ok=True)  # PEFT's empty card
    base = weights_of(job.inputs["base"])
    said = adapter_config(job.out)
    said |= {"base_model_name_or_path": str(base), "target_modules": sorted(said["target_modules"])}
    (job.out / "adapter_config.json").write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    metadata = {"format": "pt", ADAPTED: read_json(Path(f"{base}.json"))["content"]}
    save_file(load_file(job.out / ADAPTER), job.out / ADAPTER, metadata)
