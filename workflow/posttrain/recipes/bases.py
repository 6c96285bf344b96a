"""What is known of hub repositories before they are fetched (config/bases.yaml, config/datasets.yaml)."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from posttrain.files import Refusal
from posttrain.recipes import page
from posttrain.recipes.fields import Count, Entry
from posttrain.words import did_you_mean, dotted

UNOPENED = (
    "is an adapter alone, and a build opens none but its own; name a whole model: the merge of an adapter that you "
    "train (`peft`, then `method: merge`), or a folder of merged weights (`posttrain adopt`)"
)


class Tokens(Entry):
    """The special tokens of a base's tokenizer, as they are written."""

    bos_token: str | None
    eos_token: str
    pad_token: str | None = Field(description="null: rows are padded with the eos token, and masked")
    unk_token: str | None
    add_bos_token: bool = Field(description="whether a text begins with bos by the tokenizer's own doing")
    chat_tokens: list[str] = Field(description="other special tokens, markers of turns among them")


class Base(Entry):
    """A hub repository of weights."""

    licence: str
    gated: bool = Field(False, description="whether the owner's terms must be accepted on the hub")
    adapter: bool = Field(False, description="whether an adapter is all that it holds")
    config: dict[str, Any] = Field(description="fields of its config.json")
    tokenizer: Tokens
    template: str | None = Field(None, description="the file of config/templates that its own chat template is like")
    parameters: Count = Field(description="as published")
    source: str


class Dataset(Entry):
    """A hub repository of rows."""

    rows: dict[str, Count] = Field(description="by split, or subset/split")
    prompts: list[str] = Field([], description="the splits whose conversations end with the question")
    passed_on: bool = Field(True, description="whether its terms let rows that are made of it be published")
    source: str


Known = TypeVar("Known", Base, Dataset)


def read(path: Path, kind: type[Known] = Base) -> dict[str, Known]:
    """The repositories that a file describes, by hub id."""
    said, where = page.read(path) if path.exists() else ({}, {})
    return {repo_id: check(repo_id, value, where, kind) for repo_id, value in said.items()}


def check(repo_id: str, value: Any, where: page.Where, kind: type[Known]) -> Known:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        key = (repo_id, *fault["loc"])
        why = fault["msg"][0].lower() + fault["msg"][1:]
        if fault["type"] == "extra_forbidden":
            schema = Tokens if key[1] == "tokenizer" else kind
            why = f"no such key. {did_you_mean(key[-1], list(schema.model_fields))}"
        line = next(where[key[:end]] for end in range(len(key), 0, -1) if key[:end] in where)
        raise Refusal(f"{line}: {dotted(key)}: {why}") from None


def published(bases: dict[str, Base], datasets: dict[str, Dataset]) -> dict[str, dict[str, dict]]:
    """What the plan takes from the two, by kind and name: of models fields of config.json, of datasets rows."""
    models = {repo_id: base.config for repo_id, base in bases.items()}
    rows = {repo_id: dataset.rows for repo_id, dataset in datasets.items()}
    return {"models": models, "tokenizers": models, "wheels": models, "datasets": rows}
