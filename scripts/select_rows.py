"""Choose rows from scored completions: the best of each prompt or of all, or the best against another.

python -m posttrain.build preferences/quickstart-pairs
"""

import pandas as pd

from posttrain.build.job import open_job
from posttrain.data import rows
from posttrain.data.ledger import write
from posttrain.files import Refusal
from posttrain.score import select
from posttrain.score.tables import completions_of, scores_of

OF_PAIRS = ("select", "min_score", "min_margin", "max_chars", "seed")


def main() -> None:
    with open_job(__doc__) as job:
        recipe, completions = job.recipe, completions_of(job.inputs["completions"])
        scores = scores_of(job.inputs["scores"], completions)
        both = zip(completions, scores, strict=True)
        scored = pd.DataFrame(
            [row | {"score": said["score"], "why": select.why_never(row, said)} for row, said in both]
        )
        scored = select.penalised(scored.astype({"score": float}), recipe.get("length_penalty", 0))
        if job.path.startswith("data/"):
            schema, most = rows.MESSAGES, 1 if recipe["select"] == "best_of_n" else recipe.get("max_per_prompt")
            chosen, ledger = select.best(scored, recipe["min_score"], most, recipe.get("k"))
        else:
            said = {name: recipe[name] for name in OF_PAIRS if name in recipe}
            schema, (chosen, ledger) = rows.PAIRS, select.pairs(scored, **said)
        if not chosen:
            raise Refusal(f"{job.inputs['scores']}: no row is left ({ledger.losses()})")
        rows.write(chosen, schema, job.out / "train.parquet")
        write(job.out, [ledger, select.passed_over(scored)])
        job.metrics |= {"prompts": ledger.read, "kept": ledger.kept, "rows": len(chosen)}


if __name__ == "__main__":
    main()
