"""Where two files of one name differ: the tensor, the row, the field, or the byte."""

import itertools
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open

from posttrain.plan.triggers import changes
from posttrain.words import clipped

WIDEST = 100  # characters that are shown of a value
CHUNK = 1 << 20


def difference(was: Path, now: Path) -> str:
    """The first place in which two files differ, in words; of tensors how far they are apart, too."""
    kinds = {".safetensors": tensors, ".parquet": rows, ".arrow": rows, ".json": fields}
    return kinds.get(was.suffix, first_byte)(was, now) or first_byte(was, now)


def tensors(was: Path, now: Path) -> str:
    with safe_open(was, "pt") as old, safe_open(now, "pt") as new:
        names = old.offset_keys()  # as they lie in the file
        if odd := sorted({*names} ^ {*new.keys()}):
            return f"{odd[0]} is in one of the two alone"
        apart = {}
        for name in names:
            a, b = old.get_tensor(name), new.get_tensor(name)
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                return f"{name} was {tuple(a.shape)} of {a.dtype}, and is {tuple(b.shape)} of {b.dtype}"
            if not torch.equal(a.flatten().view(torch.uint8), b.flatten().view(torch.uint8)):
                apart[name] = (a.double() - b.double()).abs().nan_to_num(nan=math.inf).max().item()
    if not apart:
        return ""
    most, (first, *more) = max(apart, key=apart.get), apart
    others = f", and {len(more)} more of the tensors" if more else ""
    return f"{first} differs{others}; the largest difference is {apart[most]:.3g}, in {most}"


def rows(was: Path, now: Path) -> str:
    for number, (a, b) in enumerate(itertools.zip_longest(rows_of(was), rows_of(now))):
        if a is None or b is None:
            return f"row {number} is in one of the two alone"
        for column in {**a, **b}:
            if repr(a.get(column)) != repr(b.get(column)):  # two NaN are equal here
                values = (clipped(str(row.get(column)), WIDEST) for row in (a, b))
                return f"row {number}, {column}: {' → '.join(values)}"
    return ""


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    else:
        with pa.memory_map(str(path)) as file:
            for batch in pa.ipc.open_stream(file):
                yield from batch.to_pylist()


def fields(was: Path, now: Path) -> str:
    return clipped(next(changes(*(json.loads(path.read_text()) for path in (was, now))), ""), WIDEST)


def first_byte(was: Path, now: Path) -> str:
    place = 0
    with open(was, "rb") as old, open(now, "rb") as new:
        while (a := old.read(CHUNK)) == (b := new.read(CHUNK)) and a:
            place += len(a)
    return f"byte {place + len(os.path.commonprefix([a, b]))} is the first that differs"
