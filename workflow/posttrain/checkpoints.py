"""Finished models and their tokenizers, ours and the hub's, as those open them who do not train."""

from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from posttrain.files import Refusal
from posttrain.recipes.template import CLOCKS

ENDLESS = 1 << 30


def open_chat_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model that is talked to, with a token to pad with."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        raise Refusal(f"{folder} has no chat template to put a conversation in; give the model a `template`")
    refuse_clock(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padding is said by a mask, never by the token
    return tokenizer


def refuse_clock(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a chat template that says what day it is: tomorrow it would make other tokens of the same words."""
    if clocks := [name for name in CLOCKS if name in (tokenizer.chat_template or "")]:
        raise Refusal(f"the chat template reads the clock ({clocks[0]}); give the model a `template` of its own")


def places(folder: Path) -> int:
    """How many tokens a model has places for."""
    return getattr(AutoConfig.from_pretrained(folder).get_text_config(), "max_position_embeddings", ENDLESS)
