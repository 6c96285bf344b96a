"""Choose rows from scored completions: of each prompt the best, or the best against the worst.

python -m posttrain.build preferences/quickstart-pairs
"""

import pandas as pd

from posttrain.build.job import open_job
from posttrain.data import rows
from posttrain.data.ledger import write
from posttrain.files import Refusal
from posttrain.score import select

SCHEMAS = {"best_of_n": rows.MESSAGES, "best_vs_worst": rows.PAIRS}


def main() -> None:
    with open_job(__doc__) as job:
        completions = pd.DataFrame(rows.read(job.inputs["completions"] / "completions.parquet"))
        scores = pd.DataFrame(rows.read(job.inputs["scores"] / "scores.parquet"))
        scored = completions.merge(scores, on=["prompt_id", "sample"], how="outer", validate="1:1", indicator=True)
        if (lone := scored[scored["_merge"] != "both"]).shape[0]:
            raise Refusal(f"{job.inputs['scores']}: {len(lone)} completions have no score, or scores no completion")
        how = job.recipe["select"]
        choose = {"best_of_n": select.best_of_n, "best_vs_worst": select.best_vs_worst}[how]
        options = {name: job.recipe[name] for name in ("min_score", "min_margin") if name in job.recipe}
        chosen, ledger = choose(scored, **options)
        if not chosen:
            raise Refusal(f"{job.inputs['scores']}: no row is left ({ledger.losses()})")
        rows.write(chosen, SCHEMAS[how], job.out / "train.parquet")
        write(job.out, [ledger, select.passed_over(scored)])
        job.metrics |= {"prompts": ledger.read, "kept": ledger.kept}


if __name__ == "__main__":
    main()
