"""What a row must look like, and the parquet it is kept in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from posttrain.data.ledger import Ledger
from posttrain.files import Refusal

TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
MESSAGES = pa.schema([("messages", TURNS)])
PAIRS = pa.schema([("prompt", TURNS), ("chosen", TURNS), ("rejected", TURNS)])
UNPAIRED = pa.schema([("prompt", TURNS), ("completion", TURNS), ("label", pa.bool_())])
TEXT = pa.schema([("text", pa.string())])
NUMBERED = [("prompt_id", pa.int64()), ("sample", pa.int64())]  # the prompt's row in its split, and the draw's number
COMPLETIONS = pa.schema(
    [
        *NUMBERED,
        ("prompt", TURNS),
        ("reference", pa.string()),  # the answer that the prompt's row has, if it has one
        ("completion", pa.string()),
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),  # whether it came to an end before max_new_tokens
    ]
)
CONVERSATIONS = pa.schema(
    [
        *COMPLETIONS,
        ("turns", TURNS),  # all after the prompt: an answer, a follow-up, its answer, … The last is `completion`
        ("choice", pa.int64()),  # which of the choices was drawn for the follow-ups, counted from 0
    ]
)
SCORES = pa.schema([*NUMBERED, ("score", pa.float64())])
WHY = pa.field("why", pa.string())  # beside a score: why there is none
BATCH = 1000  # rows
ROW_GROUP = 10_000  # rows: of files that are written piece by piece
ROLES = ("system", "user", "assistant", "tool")
OPTIONS = pa.field("chat_template_kwargs", pa.string())  # JSON: what a row tells its template besides
OURS = ("tokenize", "return_dict", "add_generation_prompt", "continue_final_message", "return_assistant_tokens_mask")
OURS += ("chat_template", "padding", "truncation", "max_length", "return_tensors")


class Unsound(Exception):
    """Raised where a row is to be left out and counted, with why."""


def why_not_taken(row: dict) -> str | None:
    """Why no row is made of a completion: it did not come to its end, or says nothing there. None, if one may be."""
    if not row["finished"]:
        asked = "turns" in row and row["turns"][-1]["role"] == "user"
        return "no room for an answer to a follow-up" if asked else "an answer was cut at max_new_tokens"
    return None if row["completion"].strip() else "an answer is empty"


def data_row(row: dict, where: str, ledger: Ledger) -> dict:
    """A row to learn as it stands: a conversation (`messages`), or plain `text`."""
    return text(row, where) if "text" in row and "messages" not in row else conversation(row, where)


def text(row: dict, where: str) -> dict:
    if not isinstance(row["text"], str):
        raise Refusal(f"{where}: column 'text': is no text")
    if not row["text"].strip():
        raise Unsound("is empty")
    return {"text": whole(row["text"], "text", where)}


def conversation(row: dict, where: str) -> dict:
    """A row of `messages` with at least one answer, or that ends with a question: a prompt."""
    messages = turns(row, "messages", where)
    if messages[-1]["role"] != "user" and not any(turn["role"] == "assistant" for turn in messages):
        raise Refusal(f"{where}: column 'messages': there is no assistant turn to learn from, nor a user's to answer")
    return {"messages": messages, **options(row, where)}


def options(row: dict, where: str) -> dict:
    """A row's `chat_template_kwargs`, which TRL passes on to the template, as JSON of one spelling."""
    if (said := row.get("chat_template_kwargs")) is None:
        return {} if "chat_template_kwargs" not in row else {"chat_template_kwargs": "{}"}
    try:
        told = json.loads(said) if isinstance(said, str) else said
    except ValueError as error:
        raise Refusal(f"{where}: column 'chat_template_kwargs': not JSON: {error}") from None
    if not isinstance(told, dict) or (ours := sorted(set(told) & set(OURS))):
        why = f"{ours[0]} is not a row's to say" if isinstance(told, dict) else "is no mapping"
        raise Refusal(f"{where}: column 'chat_template_kwargs': {why}")
    told = {name: value for name, value in told.items() if value is not None}
    return {"chat_template_kwargs": json.dumps(told, sort_keys=True, ensure_ascii=False)}


def options_of(row: dict) -> dict:
    """What a row that was made tells its template besides its turns."""
    return json.loads(row.get("chat_template_kwargs") or "{}")


def preference(row: dict, where: str, ledger: Ledger) -> dict | None:
    """A row to prefer by: a pair of answers, or a single completion and its `label`."""
    if "completion" in row and "chosen" not in row:
        return unpaired(row, where)
    return pair(row, where, ledger)


def unpaired(row: dict, where: str) -> dict:
    """A row of prompt, completion and whether it is a desirable one."""
    prompt, completion = turns(row, "prompt", where), turns(row, "completion", where)
    check_column(row, "label", where)
    if completion[0]["role"] != "assistant":
        raise Refusal(
            f"{where}: column 'completion': does not begin with what the assistant says; leave the prompt out"
        )
    if not isinstance(row["label"], bool):
        raise Refusal(f"{where}: column 'label': {row['label']!r}: true (desirable) or false is wanted")
    return {"prompt": prompt, "completion": completion, "label": row["label"], **options(row, where)}


def pair(row: dict, where: str, ledger: Ledger) -> dict | None:
    """A row of prompt, chosen, rejected; None, and counted, if both answers are the same.

    Whole conversations in `chosen` and `rejected` (UltraFeedback's form) are split where they part.
    """
    chosen, rejected = turns(row, "chosen", where), turns(row, "rejected", where)
    if chosen == rejected:
        ledger.drop("chosen equals rejected")
        return None
    if chosen[0]["role"] != "assistant":
        same = 0
        while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
            same += 1
        while same and chosen[same - 1]["role"] == "assistant":  # an answer that both begin with is an answer
            same -= 1
        prompt, chosen, rejected = chosen[:same], chosen[same:], rejected[same:]
    else:
        prompt = turns(row, "prompt", where)
    if not prompt or not all(answer and answer[0]["role"] == "assistant" for answer in (chosen, rejected)):
        raise Refusal(f"{where}: chosen and rejected do not answer one prompt: both begin with it, or neither")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **options(row, where)}


def turns(row: dict, column: str, where: str) -> list[dict]:
    """A column as turns; a bare string is the user's prompt or the assistant's answer."""
    check_column(row, column, where)
    value = row[column]
    if isinstance(value, str) and (column == "messages" or value.lstrip().startswith('[{"role"')):
        raise Refusal(
            f"{where}: column {column!r}: is text, not turns; keep turns as jsonl or parquet, and plain text as `text`"
        )
    if isinstance(value, str):
        value = [{"role": "user" if column == "prompt" else "assistant", "content": value}]
    if not isinstance(value, list) or not value:
        raise Refusal(f"{where}: column {column!r}: has no turns")
    return [checked(turn, column, where) for turn in value]


def check_column(row: dict, column: str, where: str) -> None:
    if column not in row:
        raise Refusal(
            f"{where}: there is no column {column!r}; it has {', '.join(sorted(row)) or 'none'}. "
            f"Map one with `columns: {{theirs: {column}}}`"
        )


def checked(turn: Any, column: str, where: str) -> dict:
    if not isinstance(turn, dict) or not {"role", "content"} <= set(turn):
        raise Refusal(f"{where}: column {column!r}: a turn has a role and a content")
    if turn["role"] not in ROLES:
        raise Refusal(f"{where}: column {column!r}: no role {turn['role']!r}; there are {', '.join(ROLES)}")
    if not isinstance(turn["content"], str):
        raise Refusal(f"{where}: column {column!r}: what the {turn['role']} says is no text")
    if turn["role"] in ("user", "assistant") and not turn["content"].strip():
        raise Unsound("has an empty turn")
    return {"role": turn["role"], "content": whole(turn["content"], column, where)}


def whole(said: str, column: str, where: str) -> str:
    try:
        said.encode()
    except UnicodeEncodeError:
        why = "half a character (\\ud800 to \\udfff), which no file can hold"
        raise Refusal(f"{where}: column {column!r}: {why}") from None
    return said


CHECKS = {"mix_data": data_row, "mix_preferences": preference}


def check_kind(row: dict, first: dict, where: str) -> None:
    """Raises: Refusal, if a row of a set is not of the kind of the first."""
    if row.keys() != first.keys():
        found, wanted = (next(name for name in a if name not in b) for a, b in ((row, first), (first, row)))
        raise Refusal(
            f"{where}: is a row of {found!r}, and the set's first row is one of {wanted!r}; "
            f"make two sets, or keep one kind with `columns: [{', '.join(first)}]`"
        )


def schema_of(row: dict) -> pa.Schema:
    """The schema of a set of which this is a row."""
    names = set(row) - {OPTIONS.name}
    schema = next(schema for schema in (MESSAGES, TEXT, PAIRS, UNPAIRED) if set(schema.names) == names)
    return schema.append(OPTIONS) if OPTIONS.name in row else schema


def said(row: dict) -> list[str]:
    """All that is said in a row, turn by turn."""
    return [row["text"]] if "text" in row else [turn["content"] for turn in prompt_of(row) + answers_of(row)]


def prompt_of(row: dict) -> list[dict]:
    """The turns that a row's answers answer: all of a conversation but a last answer. Of a text, itself."""
    if "text" in row:
        return [{"role": "user", "content": row["text"]}]
    return row["messages"][: len(row["messages"]) - len(answers_of(row))] if "messages" in row else row["prompt"]


def answers_of(row: dict) -> list[dict]:
    if "messages" in row:
        return [turn for turn in row["messages"][-1:] if turn["role"] == "assistant"]
    return [turn for side in ("chosen", "rejected", "completion") for turn in row.get(side, [])]


def write(rows: list[dict], schema: pa.Schema, path: Path) -> None:
    """Write rows as parquet; equal rows make equal bytes."""
    parquet.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def table(path: Path, schema: pa.Schema) -> pa.Table:
    """A file's columns of a schema. Raises: Refusal, if it has them not, or otherwise."""
    try:
        there = parquet.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise Refusal(f"{path}: not parquet: {str(error).splitlines()[0]}") from None
    for field in schema:
        if field.name not in there.names:
            raise Refusal(f"{path}: has no column {field.name!r}; it has {', '.join(there.names)}")
        if there.field(field.name).type != field.type:
            raise Refusal(f"{path}: column {field.name!r} is of {there.field(field.name).type}, not {field.type}")
    return parquet.read_table(path, columns=schema.names)


def read(path: Path) -> list[dict]:
    return parquet.read_table(path).to_pylist()


def batches(path: Path) -> Iterator[list[dict]]:
    """The rows of a file, so many at once."""
    for batch in parquet.ParquetFile(path).iter_batches(BATCH):
        yield batch.to_pylist()
