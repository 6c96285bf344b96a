"""Reading the rows of one source, in the order they stand."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posttrain.data import generators
from posttrain.data.ledger import Ledger
from posttrain.files import Refusal


def read(source: dict, place: Path | None, ledger: Ledger | None = None) -> Iterator[tuple[int, dict]]:
    """The rows of a source that its `where` lets through, each with its number there, counted from 1.

    Args:
        source: the source as the recipe says it, less its place.
        place: its file, or the folder of its artifact; None for a generator.
        ledger: counts what `where` leaves out.
    """
    rows = {
        ".jsonl": json_lines,
        ".json": json_list,
        ".parquet": parquet,
        ".csv": csv_rows,
        "saved": saved_split,
        "hub": hub_split,
        "target": target_split,
        "generator": generated,
    }[source["form"]](source, place)
    for number, row in enumerate(rows, 1):
        for name in source["where"]:
            refuse_missing(name, row, f"{place or source['generator']} row {number}")
        if all(row[name] in values for name, values in source["where"].items()):
            yield number, row
        elif ledger:
            ledger.read += 1
            ledger.drop("not of `where`")


def taken(
    source: dict, place: Path | None, shuffle: int | None, ledger: Ledger
) -> tuple[Iterator[tuple[int, int, dict]], np.ndarray | None]:
    """The rows that a source gives to a set, as they are read: which of its rows each is, its number, and itself.
    Second, which of its rows it gives, in the order that they are to have; None for that in which they are read.

    Args:
        shuffle: seed of the order in which `skip`, `rows` and `weight` count; as they stand if None. It is that of
            datasets' `shuffle`.
    """
    skip, count = source["skip"], source["rows"]
    if shuffle is None and source["weight"] is None:
        stop = None if count is None else skip + count
        rows = itertools.islice(enumerate(read(source, place, ledger)), skip, stop)
        return ((i, number, row) for i, (number, row) in rows), None
    there = sum(1 for _ in read(source, place))
    order = np.arange(there) if shuffle is None else np.random.default_rng(shuffle).permutation(there)
    if source["weight"] is not None:
        count = int(source["weight"] * there)
    order = order[skip:] if count is None else order[skip : skip + count]
    wanted = set(order.tolist())
    rows = enumerate(read(source, place, ledger))
    return ((i, number, row) for i, (number, row) in rows if i in wanted), order


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

    split = source["split"]
    files = {"data_files": {split: source["files"]}} if source["files"] else {"name": source["subset"]}
    yield from load_dataset(str(place), split=split, **files)


def saved_split(source: dict, place: Path) -> Iterator[dict]:
    from datasets import DatasetDict, load_from_disk

    saved = load_from_disk(str(place))
    if isinstance(saved, DatasetDict):
        if source["split"] not in saved:
            raise Refusal(f"{place}: has no split {source['split']!r}; it has {', '.join(sorted(saved))}")
        saved = saved[source["split"]]
    yield from saved


def target_split(source: dict, place: Path) -> Iterator[dict]:
    return parquet(source, place / f"{source['split']}.parquet")


def generated(source: dict, _: None) -> Iterator[dict]:
    yield from generators.KNOWN[source["generator"]](**source["args"])


def chosen_columns(columns: Any, row: dict, where: str) -> dict:
    """A row's columns as the recipe wants them: all, those listed, or those mapped to other names."""
    if columns is None:
        return row
    mapping = columns if isinstance(columns, dict) else {name: name for name in columns}
    for name in mapping:
        refuse_missing(name, row, where)
    return {ours: row[theirs] for theirs, ours in mapping.items()}


def refuse_missing(name: str, row: dict, where: str) -> None:
    if name not in row:
        raise Refusal(f"{where}: there is no column {name!r}; the row has {', '.join(sorted(row))}")
