"""Score completions: by a verifier that knows the right answer, or by a reward model.

python -m posttrain.build scores/quickstart-tries
"""

import math
import random
from functools import partial

from posttrain.build.job import Job, open_job
from posttrain.data import rows
from posttrain.files import Refusal
from posttrain.score import verifiers


def verified(job: Job, completions: list[dict]) -> list[float]:
    """What the verifier gives each completion."""
    verify = partial(verifiers.KNOWN[job.recipe["verifier"]], **job.recipe["args"])
    for row in completions:
        if row["reference"] is None:
            raise Refusal(f"prompt {row['prompt_id']} has no answer in its data set that a verifier could compare with")
    return [verify(row["completion"], row["reference"]) for row in completions]


def rewarded(job: Job, completions: list[dict]) -> list[float | None]:
    """What the reward model gives each completion; None where it cannot read all of it."""
    from posttrain.score import reward  # a verifier needs no torch

    turns = [[*row["prompt"], {"role": "assistant", "content": row["completion"]}] for row in completions]
    return reward.score_all(job, job.inputs["reward_model"], turns)


def by_lot(completions: list[dict]) -> list[float]:
    """Scores of a rehearsal: of each prompt's completions one has 1, one has 0, and the others lie between."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(completions):
        places.setdefault(row["prompt_id"], []).append(place)
    scores = [0.0] * len(completions)
    for prompt_id, mine in places.items():
        random.Random(prompt_id).shuffle(mine)
        for rank, place in enumerate(mine):
            scores[place] = rank / max(len(mine) - 1, 1)
    return scores


def main() -> None:
    with open_job(__doc__) as job:
        completions = rows.read(job.inputs["completions"] / "completions.parquet")
        scores = rewarded(job, completions) if "reward_model" in job.inputs else verified(job, completions)
        scores = by_lot(completions) if job.recipe.get("by_lot") else scores
        made = [
            {"prompt_id": row["prompt_id"], "sample": row["sample"], "score": score}
            for row, score in zip(completions, scores, strict=True)
        ]
        for row in made:
            if row["score"] is not None and not math.isfinite(row["score"]):
                raise Refusal(f"prompt {row['prompt_id']}, sample {row['sample']}: the score is {row['score']}")
        rows.write(made, rows.SCORES, job.out / "scores.parquet")
        given = [score for score in scores if score is not None]
        if not given:
            raise Refusal(f"max_length: no completion has as few as {job.recipe['max_length']} tokens with its prompt")
        job.metrics |= {"completions": len(scores), "unread": len(scores) - len(given), "mean": sum(given) / len(given)}


if __name__ == "__main__":
    main()
