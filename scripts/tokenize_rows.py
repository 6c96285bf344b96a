"""Template, tokenise, check and cut rows, once for all models that read them.

python -m posttrain.build scripts/tokenize_rows.py tokens/<intent>
"""

from posttrain.build.job import open_job
from posttrain.data import rows, tokens
from posttrain.files import Refusal, write_json


def main() -> None:
    with open_job(__doc__) as job:
        source = job.inputs["rows"]
        read = rows.read(source / "train.parquet")
        made, counts = tokens.tokenise(read, job.inputs["tokenizer"], job.recipe, job.runtime["threads"])
        if not made:
            lost = ", ".join(f"{count} {why}" for why, count in sorted(counts.items()) if count)
            raise Refusal(f"{source}: no row is left ({lost}); raise max_length")
        tokens.write(made, job.recipe["method"], job.out / "train.arrow")
        lengths = [sum(len(ids) for name, ids in row.items() if name != "labels") for row in made]
        ledger = {"read": len(read), "kept": len(made), **{why: n for why, n in sorted(counts.items()) if n}}
        write_json(job.out / "ledger.json", ledger)
        job.metrics |= {"rows": len(made), "tokens": sum(lengths), "longest": max(lengths)}


if __name__ == "__main__":
    main()
