"""Score completions: by a verifier, a reward model or a judge, or by scores that there are.

python -m posttrain.build scores/quickstart-tries
"""

import math

import pyarrow as pa

from posttrain.build.job import Job, open_job
from posttrain.data import rows
from posttrain.data.ledger import Ledger, write
from posttrain.files import Refusal
from posttrain.score.combining import combined
from posttrain.score.lots import by_lot
from posttrain.score.tables import completions_of
from posttrain.score.verifying import verified


def scored(job: Job, completions: list[dict]) -> tuple[list[dict], list[Ledger]]:
    """What the scorer gives each completion, a `score` or None and `why`; and ledgers of its own."""
    if "combine" in job.recipe:
        return combined(job, completions), []
    if "verifier" in job.recipe:
        return verified(job, completions), []
    if "mode" in job.recipe:
        from posttrain.score.judge import judged  # a verifier needs no torch

        return judged(job, completions)
    from posttrain.score.reward import rewarded

    return rewarded(job, completions), []


def main() -> None:
    with open_job(__doc__) as job:
        completions = completions_of(job.inputs["completions"])
        given, ledgers = scored(job, completions)
        if job.recipe.get("by_lot"):
            given = [row | {"score": score, "why": None} for row, score in zip(given, by_lot(completions), strict=True)]
        ledger, made = Ledger("completions"), []
        for row, score in zip(completions, given, strict=True):
            ledger.read += 1
            if score["score"] is None:
                ledger.drop(score["why"], row["prompt"], row["completion"])
            elif not math.isfinite(score["score"]):
                raise Refusal(f"prompt {row['prompt_id']}, sample {row['sample']}: the score is {score['score']}")
            made.append({"prompt_id": row["prompt_id"], "sample": row["sample"], **score})
        if not ledger.kept:
            raise Refusal(f"no completion has a score ({ledger.losses()})")
        parts = [pa.field(name, pa.float64()) for name in given[0] if name not in ("score", "why")]
        rows.write(made, pa.schema([*rows.SCORES, *parts, rows.WHY]), job.out / "scores.parquet")
        write(job.out, [ledger, *ledgers])
        scores = [row["score"] for row in made if row["score"] is not None]
        job.metrics |= {"completions": ledger.read, "unscored": ledger.read - ledger.kept}
        job.metrics["mean"] = sum(scores) / len(scores)


if __name__ == "__main__":
    main()
