"""Completions and their scores as they are read: each once, each with a score that is a number or none at all."""

import math
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from posttrain.data import rows
from posttrain.files import Refusal

MAY_BE_NULL = ("reference", "score", "why")
Number = tuple[int, int]  # a completion's: its prompt_id and sample


def completions_of(folder: Path) -> list[dict]:
    path = folder / "completions.parquet"
    found = read(path, rows.COMPLETIONS, rows.CONVERSATIONS.field("turns"))
    if not found:
        raise Refusal(f"{path}: has no rows")
    for i, row in enumerate(found, 1):
        rows.turns(row, "prompt", f"{path} row {i}")
    numbered(found, path)
    return found


def scores_of(folder: Path, completions: list[dict]) -> list[dict]:
    """The rows of a folder's scores, in the order of the completions.

    Raises: Refusal, if a completion has no row or two, a row is of none, or a score is no finite number.
    """
    path = folder / "scores.parquet"
    found, wanted = numbered(read(path, rows.SCORES, rows.WHY), path), [number_of(row) for row in completions]
    for number, row in found.items():
        if row["score"] is not None and not math.isfinite(row["score"]):
            raise Refusal(f"{path}: {said(number)}: the score is {row['score']}")
    if unknown := found.keys() - set(wanted):
        raise Refusal(f"{path}: {len(unknown)} of its scores are of no completion there is: {said(min(unknown))}")
    if missing := set(wanted) - found.keys():
        raise Refusal(f"{path}: {len(missing)} completions have no score: {said(min(missing))}")
    return [found[number] for number in wanted]


def read(path: Path, schema: pa.Schema, more: pa.Field | None = None) -> list[dict]:
    """The rows of a file: these columns, and one more if it has it. Raises: Refusal, if a row lacks a value."""
    found = rows.table(path, schema)
    if more and more.name in parquet.read_schema(path).names:
        found = rows.table(path, schema.append(more))
    for name in found.column_names:
        if found[name].null_count and name not in MAY_BE_NULL:
            row = found[name].is_null().to_pylist().index(True) + 1
            raise Refusal(f"{path} row {row}: column {name!r}: has no value")
    return found.to_pylist()


def numbered(found: list[dict], path: Path) -> dict[Number, dict]:
    made: dict[Number, dict] = {}
    for row in found:
        if made.setdefault(number_of(row), row) is not row:
            raise Refusal(f"{path}: {said(number_of(row))}: is there twice")
    return made


def by_prompt(completions: list[dict]) -> dict[int, list[int]]:
    """The places of each prompt's completions."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(completions):
        places.setdefault(row["prompt_id"], []).append(place)
    return places


def number_of(row: dict) -> Number:
    return row["prompt_id"], row["sample"]


def said(number: Number) -> str:
    return "prompt {}, sample {}".format(*number)
