"""Rows as they are read, on the disk, to be written again in another order. A batch of them is in memory at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from posttrain.data.rows import BATCH, schema_of

ROW_GROUP = 10_000  # rows


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
            table = pa.ipc.open_file(file).read_all()
            with parquet.ParquetWriter(path, table.schema, compression="zstd") as out:
                for start in range(0, len(order), ROW_GROUP):
                    out.write_table(table.take(order[start : start + ROW_GROUP]).combine_chunks())
        self.path.unlink()
