"""Making and checking tokenizers."""

import re
from itertools import compress

from jinja2 import TemplateError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from posttrain.checkpoints import refuse_clock
from posttrain.files import Refusal
from posttrain.recipes import template

ANSWERS = ["two", "four"]
PROBE = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": ANSWERS[0]},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": ANSWERS[1]},
]
MARKER = re.compile(r"<\|[^<>|\s]+\|>|<\w+>|\[/?[A-Z_]+\]")  # <|user|>, <start_of_turn>, [INST]


def of_bytes() -> PreTrainedTokenizerFast:
    """One token a byte: any text, no training, nothing unknown."""
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return byte_level(named, [*named.values(), "<|user|>", "<|assistant|>", "<|system|>"])


def byte_level(named: dict[str, str], more: list[str], begins: bool = False) -> PreTrainedTokenizerFast:
    """One token a byte, and special ones.

    Args:
        named: special tokens that have a name: bos_token, eos_token, …; several names may have one token.
        more: special tokens in the order of their ids, before those of `named` that are not among them.
        begins: whether a text begins with bos.
    """
    special = list(dict.fromkeys([*more, *named.values()]))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if begins:
        bos = named["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])]
        )
    unnamed = [token for token in more if token not in named.values()]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **named, additional_special_tokens=unnamed, clean_up_tokenization_spaces=False
    )


def add_tokens(tokenizer: PreTrainedTokenizerBase, added: list[str], eos_token: str | None) -> None:
    """Give a tokenizer the tokens its template needs, each one id."""
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(t, special=True) for t in added]}, False)
    if eos_token is not None:
        if eos_token not in tokenizer.get_vocab():
            raise Refusal(f"eos_token {eos_token!r} is not in the vocabulary; name it in `added_tokens` too")
        tokenizer.eos_token = eos_token
    for token in added:
        ids = tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise Refusal(f"added token {token!r} is {len(ids)} tokens; the base's tokenizer splits it")


def check(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer whose template lets an answer have no end, or that has no token to pad with."""
    if tokenizer.eos_token_id is None:
        raise Refusal("the tokenizer has no eos token; name one with `eos_token`")
    if tokenizer.chat_template is None:
        return  # text is trained on as it is
    refuse_clock(tokenizer)
    try:
        once, twice = tokenizer.apply_chat_template(PROBE[:2], tokenize=False), render(tokenizer, PROBE)
        render(tokenizer, PROBE[:1], add_generation_prompt=True)
    except TemplateError as error:
        raise Refusal(f"the chat template fails on a user's and an assistant's turn: {error}") from None
    check_ends(tokenizer, twice)
    if begins(tokenizer, once) > 1 and tokenizer.bos_token_id != tokenizer.eos_token_id:
        raise Refusal(f"the chat template adds {tokenizer.bos_token!r} more than once; leave it to the tokenizer")
    warn_of_split_markers(tokenizer)


def begins(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """How many times a text begins. Before a role the token is no beginning: so ChatML opens every turn."""
    if tokenizer.bos_token is None:
        return 0
    return len(re.findall(re.escape(tokenizer.bos_token) + "(?!system|user|assistant)", text))


def render(tokenizer: PreTrainedTokenizerBase, turns: list[dict], **options: bool) -> dict:
    """The ids of a conversation and, where the template marks them, a mask of what the assistant says."""
    marks = template.marks_answers(tokenizer.chat_template)
    return tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=marks, **options)


def check_ends(tokenizer: PreTrainedTokenizerBase, made: dict) -> None:
    """Refuse a template under which a model would not learn, at every answer, to end it."""
    eos = tokenizer.eos_token
    if not answers_end(tokenizer, made["input_ids"]):
        raise Refusal(
            f"the chat template does not end an assistant's turn with the eos token {eos!r}: "
            "a model trained on it would never stop. Mend the template, or name its end token with `eos_token`"
        )
    mask = made.get("assistant_masks")
    if mask and not answers_end(tokenizer, list(compress(made["input_ids"], mask))):
        raise Refusal(
            f"the chat template leaves the eos token {eos!r} out of what it marks as the assistant's: "
            "a model trained on answers only would never stop. Put it between {% generation %} and {% endgeneration %}"
        )


def answers_end(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> bool:
    """Whether the eos token follows each of the probe's answers, with nothing but space between."""
    ended, stretch = [], []
    for token in ids:
        if token == tokenizer.eos_token_id:
            ended.append(tokenizer.decode(stretch).rstrip())
            stretch = []
        else:
            stretch.append(token)
    return all(any(text.endswith(answer) for text in ended) for answer in ANSWERS)


def warn_of_split_markers(tokenizer: PreTrainedTokenizerBase) -> None:
    """Say which of the template's markers are text to the tokenizer; models are trained so on purpose too (zephyr)."""
    text = tokenizer.apply_chat_template(PROBE, tokenize=False, add_generation_prompt=True)
    if split := sorted(set(MARKER.findall(text)) - set(tokenizer.get_vocab())):
        print(
            f"the chat template's {', '.join(split)} are no tokens of the tokenizer, and read as ordinary text; "
            "if each is to be one token, name it in `added_tokens`",
            flush=True,
        )
