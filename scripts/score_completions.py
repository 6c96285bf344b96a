"""Score completions: by a verifier that knows the right answer, or by a reward model.

python -m posttrain.build scripts/score_completions.py scores/quickstart-tries
"""

import math
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


def rewarded(job: Job, completions: list[dict]) -> list[float]:
    """What the reward model gives each completion."""
    from posttrain.score import reward  # a verifier needs no torch

    folder = job.inputs["reward_model"]
    turns = [[*row["prompt"], {"role": "assistant", "content": row["completion"]}] for row in completions]
    return reward.score_all(job, folder, reward.read(folder, turns, job.recipe["max_length"]))


def main() -> None:
    with open_job(__doc__) as job:
        completions = rows.read(job.inputs["completions"] / "completions.parquet")
        scores = rewarded(job, completions) if "reward_model" in job.inputs else verified(job, completions)
        made = [
            {"prompt_id": row["prompt_id"], "sample": row["sample"], "score": score}
            for row, score in zip(completions, scores, strict=True)
        ]
        for row in made:
            if not math.isfinite(row["score"]):
                raise Refusal(f"prompt {row['prompt_id']}, sample {row['sample']}: the score is {row['score']}")
        rows.write(made, rows.SCORES, job.out / "scores.parquet")
        job.metrics |= {"completions": len(scores), "mean": sum(scores) / len(scores)}


if __name__ == "__main__":
    main()
