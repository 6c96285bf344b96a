"""Models as they are made, opened, saved, and proved to be what was trained."""

import importlib
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig
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
from transformers.utils import is_flash_attn_2_available
from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION, is_kernels_available

from posttrain.adapters import adapter_config, is_adapter
from posttrain.build.job import Job
from posttrain.build.processes import needs
from posttrain.checkpoints import config_of, has_head, on_base, weights_of
from posttrain.files import Refusal
from posttrain.words import did_you_mean, nearest


def open_tokenizer(job: Job) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(job.inputs["tokenizer"])


def open_tokens(job: Job, split: str = "train") -> Dataset | None:
    """The tokens of a split, mapped into memory as they lie on the disk; of `test`, if it is to be evaluated on.

    Beside them stand the reference's log-probs, if the method has one.
    """
    if split == "test" and not job.runtime["eval_steps"]:
        return None
    parts = [job.inputs[role] for role in ("tokens", "reference") if role in job.inputs]
    rows = concatenate_datasets([Dataset.from_file(str(folder / f"{split}.arrow")) for folder in parts], axis=1)
    needed = job.recipe["train"]["batch_size"]
    if split == "train" and len(rows) < needed:
        raise Refusal(f"train.batch_size {needed} is more than the {len(rows)} rows there are; lower it or add rows")
    return rows


def learning(job: Job, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What every trainer learns from and through, whatever its method."""
    return {
        "train_dataset": open_tokens(job),
        "eval_dataset": open_tokens(job, "test"),
        "processing_class": tokenizer,
        "peft_config": new_adapter(job),
    }


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
    set_seed(seed)
    try:
        config = AutoConfig.for_model(**{"vocab_size": len(tokenizer), **architecture})
        agree_on_ends(config, tokenizer)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (StrictDataclassError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        why = str(error).strip().splitlines()[-1].strip().removeprefix("ValueError: ").removeprefix("TypeError: ")
        raise Refusal(f"architecture: transformers makes no such {kind}: {why}") from None
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


def said_of_base(job: Job) -> dict[str, Any]:
    said = {
        "dtype": getattr(torch, job.recipe["train"]["dtype"]),
        "attn_implementation": attention(job),
        "use_safetensors": True,
    }
    if bits := job.recipe.get("quantization"):
        needs("bitsandbytes", "quantization", "-e '.[quantization]'")
        compute = torch.bfloat16 if job.recipe["train"]["bf16"] else torch.float32
        said["quantization_config"] = BitsAndBytesConfig(**bits, bnb_4bit_compute_dtype=compute)
        device = PartialState().device if job.runtime["gpus"] else torch.device("cpu")
        said["device_map"] = {"": device}  # it is quantised where it will be used
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
    if job.recipe.get("quantization"):
        refuse_whole_weights(model)
        keep_learnable(model)
    if adapter := job.recipe.get("peft"):
        refuse_unknown_modules(model, adapter["target_modules"])
    if len(tokenizer) > (rows := model.get_input_embeddings().num_embeddings):
        if "seed" not in job.recipe["train"]:  # a reference's, which has one where tokens are added
            raise Refusal(
                f"the base's own tokenizer has {len(tokenizer)} tokens, and the base rows for {rows}: what a reference "
                "would make of the others is chance; train it by sft first, or name a base that has them"
            )
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
    job.metrics["attn_implementation"] = model.config._attn_implementation
    if job.runtime["use_kernels"] and not any("forward" in vars(module) for module in model.modules()):
        raise Refusal(  # transformers leaves what it finds no kernel for as it is, and only says so
            "runtime.use_kernels: no layer of this model has a kernel here; fetch its kernels into a folder that "
            "KERNELS_CACHE names (a job that trains is offline), or say `use_kernels: false`"
        )
    return model


def refuse_whole_weights(model: PreTrainedModel) -> None:
    """Raises: Refusal, unless every linear layer but the head is held in four bits, as was asked for."""
    head = {id(model.get_output_embeddings())} if model.can_generate() else {id(getattr(model, "score", None))}
    for name, module in model.named_modules():
        whole = isinstance(module, torch.nn.Linear) and getattr(module.weight, "quant_state", None) is None
        if whole and id(module) not in head:
            raise Refusal(f"quantization was to hold {name} in four bits, and its weights are {module.weight.dtype}")


def refuse_unknown_modules(model: PreTrainedModel, said: str | list[str]) -> None:
    """Raises: Refusal, if an adapter is to be on modules that the model has not: PEFT would leave those out unsaid."""
    for asked in [] if said == "all-linear" else said:
        if not any(f".{name}".endswith(f".{asked}") for name, _ in model.named_modules()):
            linear = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
            hint = did_you_mean(asked, sorted({name.rpartition(".")[2] for name in linear}))
            raise Refusal(f"peft.target_modules: the base has no module {asked!r}. {hint}")


def keep_learnable(model: PreTrainedModel) -> None:
    """Have weights in four bits stay as they are on a CPU that knows AVX-512 BF16: bitsandbytes would repack them, the
    first time that no gradient is asked for, into a form that lets none through and that small layers do not have.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


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
