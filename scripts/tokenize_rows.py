"""Template, tokenise, check, cut and pack rows, once for all models that read them.

python -m posttrain.build tokens/<intent>
"""

from collections.abc import Iterator

import pyarrow as pa

from posttrain.build.job import Job, open_job
from posttrain.data import rows, tokens
from posttrain.data.ledger import Ledger, write
from posttrain.files import Refusal


def tokenised(job: Job, split: str, recipe: dict, ledger: Ledger) -> Iterator[pa.Table]:
    """The tokens of a split's rows, batch by batch; the ledger has what was cut and dropped."""
    read = rows.batches(job.inputs["rows"] / f"{split}.parquet")
    for table, lost in tokens.tokenise(read, job.inputs["tokenizer"], recipe, job.runtime["threads"]):
        ledger.add(lost)
        yield table


def tokenise(job: Job, split: str, recipe: dict, ledger: Ledger) -> list[int]:
    """Write a split's tokens; the lengths of their rows."""
    lengths = tokens.write(tokenised(job, split, recipe, ledger), recipe, job.out / f"{split}.arrow")
    if not lengths:
        raise Refusal(
            f"{job.inputs['rows']}: no row is left of {split}.parquet ({ledger.losses()}); "
            "raise max_length, or give it other rows"
        )
    return lengths


def main() -> None:
    with open_job(__doc__) as job:
        recipe, ledgers = job.recipe, [Ledger("rows")]
        lengths = tokenise(job, "train", recipe, ledgers[0])
        job.metrics |= {"rows": len(lengths), "tokens": sum(lengths), "longest": max(lengths)}
        if "packing_strategy" in recipe:
            job.metrics["filled"] = sum(lengths) / (len(lengths) * recipe["max_length"])
        if (job.inputs["rows"] / "test.parquet").exists():
            ledgers.append(Ledger("test rows"))
            unpacked = {name: value for name, value in recipe.items() if name != "packing_strategy"}
            job.metrics["test_rows"] = len(tokenise(job, "test", unpacked, ledgers[1]))
        write(job.out, ledgers)


if __name__ == "__main__":
    main()
