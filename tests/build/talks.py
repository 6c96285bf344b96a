"""Talks, and their tokens by the real code. For test_tokens.py and test_templates.py."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from conftest import ROOT, pairs, rows
from posttrain.data import tokenizer as tokenizers
from posttrain.data import tokens
from posttrain.data.ledger import Ledger
from posttrain.recipes import template

CHATML, GEMMA = ["<|im_start|>", "<|im_end|>"], ["<start_of_turn>", "<end_of_turn>"]
MARKERS = {"chatml": CHATML, "gemma-chatml": CHATML, "smollm2": CHATML, "smollm3": CHATML, "gemma": GEMMA}
USER, ASSISTANT, SYSTEM = ({"role": role} for role in ("user", "assistant", "system"))
TALK = [
    SYSTEM | {"content": "Be brief."},
    USER | {"content": "hi"},
    ASSISTANT | {"content": "yes"},
    USER | {"content": "sure?"},
    ASSISTANT | {"content": "no é"},
]


def tokenizer_of(name: str) -> PreTrainedTokenizerBase:
    made = tokenizers.of_bytes()
    if name in MARKERS:
        tokenizers.add_tokens(made, MARKERS[name], MARKERS[name][1])
    if name == "smollm2":  # its beginning opens every turn, and its end is its pad
        made.bos_token, made.pad_token = "<|im_start|>", "<|im_end|>"
    made.chat_template = template.read([ROOT / "config/templates"], name)
    tokenizers.check(made)
    return made


def conversations() -> list[dict]:
    return [*rows(), {"messages": TALK}, {"messages": TALK[1:3]}]


def preferences() -> list[dict]:
    """The micro-chain's pairs, one of several turns, and one whose answers begin alike."""
    several = {"prompt": TALK[:4], "chosen": [TALK[4]], "rejected": [ASSISTANT | {"content": "nope"}]}
    return [*pairs(), several]


def recipe(method: str, max_length: int = 1000, only: bool = False, **said: object) -> dict:
    said |= {"packing_strategy": "wrapped"} if method == "cpt" else {}
    return {"method": method, "max_length": max_length, "assistant_only_loss": only, **said}


def tokenise(rows: list[dict], folder: Path, recipe: dict, processes: int = 1) -> tuple[list[dict], Ledger]:
    """The tokens of rows, in batches of eleven, and what was cut or dropped."""
    batches = (rows[i : i + 11] for i in range(0, len(rows), 11))
    made = list(tokens.tokenise(batches, folder, recipe, processes))
    ledger = Ledger("rows")
    for _, counted in made:
        ledger.add(counted)
    return [row for table, _ in made for row in table.to_pylist()], ledger
