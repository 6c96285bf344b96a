"""Scores that are sums of other scores of the same completions, by weight."""

from posttrain.build.job import Job
from posttrain.score.tables import scores_of


def combined(job: Job, completions: list[dict]) -> list[dict]:
    """The sum of each completion, or None and `why`; and each part, by its target's name."""
    weights = job.recipe["combine"]
    scores = [[row["score"] for row in scores_of(job.inputs[f"scores.{name}"], completions)] for name in weights]
    parts = (dict(zip(weights, given, strict=True)) for given in zip(*scores, strict=True))
    return [{f"scores/{name}": part for name, part in of.items()} | added(weights, of) for of in parts]


def added(weights: dict[str, float], parts: dict[str, float | None]) -> dict:
    if missing := [name for name, part in parts.items() if part is None]:
        return {"score": None, "why": f"no score of scores/{missing[0]}"}
    return {"score": sum(weight * parts[name] for name, weight in weights.items()), "why": None}
