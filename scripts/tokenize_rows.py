"""Template, tokenise, check and cut rows, once for all models that read them.

python -m posttrain.build tokens/<intent>
"""

from collections.abc import Iterator

import pyarrow as pa

from posttrain.build.job import Job, open_job
from posttrain.data import rows, tokens
from posttrain.data.ledger import Ledger, write
from posttrain.files import Refusal


def tokenised(job: Job, ledger: Ledger) -> Iterator[pa.Table]:
    """The tokens of the rows, batch by batch; the ledger has what was cut and dropped."""
    read = rows.batches(job.inputs["rows"] / "train.parquet")
    for table, lost in tokens.tokenise(read, job.inputs["tokenizer"], job.recipe, job.runtime["threads"]):
        ledger.add(lost)
        yield table


def main() -> None:
    with open_job(__doc__) as job:
        ledger = Ledger("rows")
        lengths = tokens.write(tokenised(job, ledger), job.recipe["method"], job.out / "train.arrow")
        if not lengths:
            raise Refusal(f"{job.inputs['rows']}: no row is left ({ledger.losses()}); raise max_length")
        write(job.out, [ledger])
        job.metrics |= {"rows": len(lengths), "tokens": sum(lengths), "longest": max(lengths)}


if __name__ == "__main__":
    main()
