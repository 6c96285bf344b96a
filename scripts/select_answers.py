"""Take rows from conversations: each prompt with its last answer, or that answer against the first.

python -m posttrain.build preferences/cai-harmless
"""

from posttrain.build.job import open_job
from posttrain.data import rows
from posttrain.data.ledger import write
from posttrain.files import Refusal
from posttrain.sample import answers

HOW = {"last_answer": (answers.last_answers, rows.MESSAGES), "last_vs_first": (answers.last_vs_first, rows.PAIRS)}


def main() -> None:
    with open_job(__doc__) as job:
        choose, schema = HOW[job.recipe["select"]]
        read = rows.table(job.inputs["completions"] / "completions.parquet", rows.CONVERSATIONS).to_pylist()
        chosen, ledger = choose(answers.half_of(read, job.recipe["half"]))
        if not chosen:
            raise Refusal(f"{job.inputs['completions']}: no row is left ({ledger.losses()})")
        rows.write(chosen, schema, job.out / "train.parquet")
        write(job.out, [ledger])
        job.metrics |= {"conversations": ledger.read, "kept": ledger.kept}


if __name__ == "__main__":
    main()
