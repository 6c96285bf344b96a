"""Finished models and their tokenizers, ours and the hub's, as they are opened."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from posttrain.adapters import adapter_config, content_of_base, is_adapter
from posttrain.files import Refusal, read_json
from posttrain.recipes.template import CLOCK

if TYPE_CHECKING:  # who makes a tokenizer needs no models, which take seconds to import
    from transformers import PreTrainedModel

ENDLESS = 1 << 30


def open_model(kind: type, folder: Path, **options: Any) -> "PreTrainedModel":
    """A model by transformers' auto class; one that is an adapter, on its base, under the head that it holds.

    Raises: Refusal, if the base is not the one that the adapter was trained beside.
    """
    if not is_adapter(folder):
        return kind.from_pretrained(folder, use_safetensors=True, **options)
    head = {"num_labels": 1} if has_head(folder) else {}
    return on_base(kind.from_pretrained(weights_of(folder), use_safetensors=True, **head, **options), folder)


def on_base(base: "PreTrainedModel", adapter: Path, trainable: bool = False) -> "PreTrainedModel":
    from peft import PeftModel  # which takes seconds, and most models are none

    return PeftModel.from_pretrained(base, adapter, is_trainable=trainable)


def weights_of(folder: Path) -> Path:
    """The folder of a model's own weights: an adapter's, shown beside its base, are that base's."""
    if not is_adapter(folder):
        return folder
    content = content_of_base(folder)
    if content is None:
        raise Refusal(f"{folder} is an adapter that was not trained here, of who knows which weights; name their merge")
    base = Path(adapter_config(folder)["base_model_name_or_path"])
    if (found := read_json(Path(f"{base}.json")).get("content")) != content:
        raise Refusal(f"{folder} was trained beside weights of digest {content}, and {base} has {found}; build it anew")
    return base


def config_of(folder: Path) -> PreTrainedConfig:
    return AutoConfig.from_pretrained(weights_of(folder))


def has_head(folder: Path) -> bool:
    """Whether a model gives scores, and no tokens."""
    if is_adapter(folder):
        return adapter_config(folder)["task_type"] == "SEQ_CLS"
    said = AutoConfig.from_pretrained(folder).architectures or []
    return any(name.endswith("ForSequenceClassification") for name in said)


def open_chat_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model that is talked to, with a token to pad with."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        raise Refusal(f"{folder} has no chat template to put a conversation in; give the model a `template`")
    refuse_clock(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padding is said by a mask, never by the token
    return tokenizer


def prompt_ids(tokenizer: PreTrainedTokenizerBase, turns: list[dict]) -> list[int]:
    """What a model is given of a conversation that it is to go on with."""
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]


def refuse_clock(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a chat template that says what day it is: tomorrow it would make other tokens of the same words."""
    if CLOCK in (tokenizer.chat_template or ""):
        raise Refusal(f"the chat template reads the clock ({CLOCK}); give the model a `template` of its own")


def places(folder: Path) -> int:
    """How many tokens a model has places for."""
    return getattr(config_of(folder).get_text_config(), "max_position_embeddings", ENDLESS)


def likeliest(ends: set[int], tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """How a model goes on by its likeliest tokens and nothing else: a hub model's own config asks for penalties too."""
    return GenerationConfig(do_sample=False, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)


def ends_of(folder: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that a model's answers end with: its tokenizer's, and those of its generation config."""
    weights = weights_of(folder)
    try:
        config = GenerationConfig.from_pretrained(weights)
    except OSError:  # it has none
        config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(weights))
    said = config.eos_token_id
    return {tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])} - {None}
