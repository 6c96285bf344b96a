"""Shards of completions put together, each held to the prompts that it was to answer."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from posttrain.data import rows
from posttrain.data.ledger import Ledger, read
from posttrain.data.rows import ROW_GROUP
from posttrain.files import Refusal
from posttrain.sample.blocks import blocks, share


def count(path: Path) -> int:
    """The rows of a parquet file."""
    return parquet.ParquetFile(path).metadata.num_rows


def gathered(
    shards: list[Path], prompts: int, n: int, block_size: int, schema: pa.Schema = rows.COMPLETIONS
) -> tuple[pa.Table, Ledger]:
    """The completions of all shards, in the order of prompts, and what was left out.

    Raises: Refusal, if a prompt of a shard is missing, there twice, or another's.
    """
    cuts, tables, ledger = blocks(prompts, n, block_size), [], Ledger("prompts")
    for number, folder in enumerate(shards):
        table = rows.table(folder / "completions.parquet", schema)
        (said,) = read(folder)
        mine = [prompt for cut in share(cuts, number, len(shards)) for prompt in cut]
        check(folder, table, said, mine, n)
        ledger.add(said)
        tables.append(table)
    return pa.concat_tables(tables), ledger


def check(folder: Path, table: pa.Table, ledger: Ledger, prompts: list[int], n: int) -> None:
    """Whether a shard has n samples of each of its prompts but for those that it says it left out."""
    found, samples = (table[name].to_numpy() for name in ("prompt_id", "sample"))
    answered = found[::n]
    if other := sorted(set(answered.tolist()) - set(prompts)):
        raise Refusal(f"{folder}: answers prompt {other[0]}, which is not its own; delete the folder and run again")
    if not np.array_equal(found, np.repeat(np.unique(answered), n)) or not np.array_equal(
        samples, np.tile(np.arange(n), len(answered))
    ):
        raise Refusal(f"{folder}: has not {n} samples of each prompt, in order; delete the folder and run again")
    if (ledger.read, ledger.kept) != (len(prompts), len(answered)):
        lost = sorted(set(prompts) - set(answered.tolist()))
        raise Refusal(
            f"{folder}: {len(lost)} of its {len(prompts)} prompts have no answer ({lost[0] if lost else 'none'} is the "
            f"first), and its ledger says {ledger.read - ledger.kept}; delete the folder and run again"
        )


def write(table: pa.Table, path: Path) -> None:
    """Write completions as parquet; equal rows make equal bytes, whatever pieces the table was put together from."""
    with parquet.ParquetWriter(path, table.schema, compression="zstd") as file:
        for start in range(0, table.num_rows, ROW_GROUP):
            file.write_table(table.slice(start, ROW_GROUP).combine_chunks())
