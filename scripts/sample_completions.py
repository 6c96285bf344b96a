"""Sample answers to every prompt of a data set, block by block. A block that was finished before a kill is kept.

python -m posttrain.build completions/quickstart-tries
"""

from posttrain.build.job import open_job
from posttrain.data import rows
from posttrain.data.ledger import write
from posttrain.files import Refusal
from posttrain.sample import prompts
from posttrain.sample.completions import completions


def main() -> None:
    with open_job(__doc__) as job:
        sampling = job.recipe["sampling"]
        asked = prompts.read(job.inputs["prompts"] / f"{job.recipe['split']}.parquet")
        fit, ledger = prompts.fitting(asked, job.inputs["model"], sampling["max_new_tokens"])
        if not fit:
            raise Refusal(f"no prompt leaves room for {sampling['max_new_tokens']} tokens; lower max_new_tokens")
        made = completions(job, "blocks", fit, sampling)
        rows.write(made, rows.COMPLETIONS, job.out / "completions.parquet")
        write(job.out, [ledger])
        finished = sum(row["finished"] for row in made)
        job.metrics |= {"completions": len(made), "finished": finished, "tokens": sum(row["tokens"] for row in made)}


if __name__ == "__main__":
    main()
