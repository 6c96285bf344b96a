"""Template, tokenise, check and cut rows, once for all models that read them.

python -m posttrain.build scripts/tokenize_rows.py tokens/<intent>
"""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from posttrain.build.job import Job, open_job
from posttrain.data import rows, tokens
from posttrain.files import Refusal, write_json


def tokenised(job: Job, counts: Counter) -> Iterator[pa.Table]:
    """The tokens of the rows, batch by batch; counts what was cut and dropped."""
    read = rows.batches(job.inputs["rows"] / "train.parquet")
    for table, lost in tokens.tokenise(read, job.inputs["tokenizer"], job.recipe, job.runtime["threads"]):
        counts.update(lost)
        yield table


def main() -> None:
    with open_job(__doc__) as job:
        counts: Counter = Counter()
        lengths = tokens.write(tokenised(job, counts), job.recipe["method"], job.out / "train.arrow")
        read = counts.pop(tokens.READ, 0)
        cut = {why: count for why, count in sorted(counts.items()) if count}
        if not lengths:
            lost = ", ".join(f"{count} {why}" for why, count in cut.items())
            raise Refusal(f"{job.inputs['rows']}: no row is left ({lost}); raise max_length")
        write_json(job.out / "ledger.json", {"read": read, "kept": len(lengths), **cut})
        job.metrics |= {"rows": len(lengths), "tokens": sum(lengths), "longest": max(lengths)}


if __name__ == "__main__":
    main()
