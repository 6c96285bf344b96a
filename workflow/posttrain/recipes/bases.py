"""Hub bases: what is known of each before it is fetched (config/bases.yaml)."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from posttrain.files import Refusal
from posttrain.recipes import page
from posttrain.recipes.fields import Count, Entry
from posttrain.words import did_you_mean, dotted


class Tokens(Entry):
    """The special tokens of a base's tokenizer, as they are written."""

    bos_token: str | None
    eos_token: str
    pad_token: str | None = Field(description="null: rows are padded with the eos token, and masked")
    unk_token: str | None
    add_bos_token: bool = Field(description="whether a text begins with bos by the tokenizer's own doing")
    chat_tokens: list[str] = Field(description="markers of turns that are one token each")


class Base(Entry):
    """A hub repository of weights."""

    licence: str
    gated: bool = Field(False, description="whether the owner's terms must be accepted on the hub")
    config: dict[str, Any] = Field(description="fields of its config.json")
    tokenizer: Tokens
    parameters: Count = Field(description="as published")
    source: str


def read(path: Path) -> dict[str, Base]:
    """The bases, by hub id."""
    said, where = page.read(path) if path.exists() else ({}, {})
    return {repo_id: check(repo_id, value, where) for repo_id, value in said.items()}


def check(repo_id: str, value: Any, where: page.Where) -> Base:
    try:
        return Base.model_validate(value)
    except ValidationError as error:
        fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        key = (repo_id, *fault["loc"])
        why = fault["msg"][0].lower() + fault["msg"][1:]
        if fault["type"] == "extra_forbidden":
            schema = Tokens if key[1] == "tokenizer" else Base
            why = f"no such key. {did_you_mean(key[-1], list(schema.model_fields))}"
        line = next(where[key[:end]] for end in range(len(key), 0, -1) if key[:end] in where)
        raise Refusal(f"{line}: {dotted(key)}: {why}") from None
