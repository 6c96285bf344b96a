"""Rows as they are read, on the disk, to be written again in another order. A batch of them is in memory at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from posttrain.data.rows import BATCH, ROW_GROUP, schema_of


class Spool:
    """A file of rows of one schema, in the order they came."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.waiting = path, 0, []
        self.schema: pa.Schema | None = None  # that of the first row

    def add(self, row: dict) -> int:
        """Keep a row; its place."""
        self.waiting.append(row)
        if len(self.waiting) == BATCH:
            self.flush()
        self.rows += 1
        return self.rows - 1

    def flush(self) -> None:
        if self.schema is None:
            self.schema = schema_of(self.waiting[0])
            self.writer = pa.ipc.new_file(str(self.path), self.schema)
        if self.waiting:
            self.writer.write_batch(pa.RecordBatch.from_pylist(self.waiting, self.schema))
            self.waiting = []

    def write(self, order: np.ndarray, path: Path) -> None:
        """Write the rows at these places as parquet, in this order; equal rows make equal bytes."""
        self.flush()
        self.writer.close()
        with pa.memory_map(str(self.path)) as file:
            batches = pa.ipc.open_file(file)
            with parquet.ParquetWriter(path, self.schema, compression="zstd") as out:
                for start in range(0, len(order), ROW_GROUP):
                    out.write_table(taken(batches, order[start : start + ROW_GROUP]))
        self.path.unlink()


def taken(batches: pa.ipc.RecordBatchFileReader, places: np.ndarray) -> pa.Table:
    """The rows at these places, in this order, batch by batch: Arrow's own `take` would first copy all batches."""
    sorted_by_place = np.argsort(places, kind="stable")
    numbers, within = np.divmod(places[sorted_by_place], BATCH)
    parts = [batches.get_batch(int(number)).take(within[numbers == number]) for number in np.unique(numbers)]
    found = pa.Table.from_batches(parts).combine_chunks()
    return found.take(np.argsort(sorted_by_place))
