"""Reading the rows of one source, in the order they stand."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posttrain.data import generators
from posttrain.files import Refusal


def read(source: dict, place: Path | None) -> Iterator[tuple[int, dict]]:
    """The rows that a source of a recipe stands for, each with its number there, counted from 1.

    Args:
        source: the source as the recipe says it, less its place.
        place: its file, or the folder of its fetched repository; None for a generator.
    """
    rows = {
        ".jsonl": json_lines,
        ".json": json_list,
        ".parquet": parquet,
        ".csv": csv_rows,
        "hub": hub_split,
        "generator": generated,
    }[source["form"]](source, place)
    start, count = source["skip"], source["rows"]
    yield from itertools.islice(enumerate(rows, 1), start, None if count is None else start + count)


def text_of(place: Path) -> Iterator[str]:
    with open(place, "rb") as file:
        for line, said in enumerate(file, 1):
            try:
                yield said.decode("utf-8-sig" if line == 1 else "utf-8")  # some editors begin a file with a mark
            except UnicodeDecodeError as error:
                byte = f"{said[error.start]:#04x}"
                raise Refusal(f"{place}:{line}: not UTF-8 (byte {byte}); save it as UTF-8") from None


def json_lines(_: dict, place: Path) -> Iterator[dict]:
    for line, text in enumerate(text_of(place), 1):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refusal(f"{place}:{line}: not JSON: {getattr(error, 'msg', error)}") from None
        if not isinstance(row, dict):
            raise Refusal(f"{place}:{line}: a row is an object, not {type(row).__name__}")
        yield row


def json_list(_: dict, place: Path) -> Iterator[dict]:
    try:
        rows = json.loads("".join(text_of(place)))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{place}:{getattr(error, 'lineno', 1)}: not JSON: {getattr(error, 'msg', error)}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refusal(f"{place}: is a list of objects, one a row")
    yield from rows


def parquet(_: dict, place: Path) -> Iterator[dict]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        for batch in ParquetFile(place).iter_batches():
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise Refusal(f"{place}: not parquet: {error}") from None


def csv_rows(_: dict, place: Path) -> Iterator[dict]:
    try:
        for number, row in enumerate(csv.DictReader(text_of(place), strict=True), 1):
            if None in row or None in row.values():
                raise Refusal(f"{place} row {number}: has not as many fields as the header")
            yield row
    except csv.Error as error:
        raise Refusal(f"{place}: not CSV: {error}") from None


def hub_split(source: dict, place: Path) -> Iterator[dict]:
    from datasets import load_dataset

    yield from load_dataset(str(place), name=source["subset"], split=source["split"])


def generated(source: dict, _: None) -> Iterator[dict]:
    yield from generators.KNOWN[source["generator"]](**source["args"])


def chosen_columns(columns: Any, row: dict, where: str) -> dict:
    """A row's columns as the recipe wants them: all, those listed, or those mapped to other names."""
    if columns is None:
        return row
    mapping = columns if isinstance(columns, dict) else {name: name for name in columns}
    for name in mapping:
        if name not in row:
            raise Refusal(f"{where}: there is no column {name!r}; the row has {', '.join(sorted(row))}")
    return {ours: row[theirs] for theirs, ours in mapping.items()}
