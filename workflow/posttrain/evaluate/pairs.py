"""How often a reward model prefers the chosen answer."""

from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal
from posttrain.score import reward


def evaluate(job: Job) -> Measured:
    """accuracy: share of pairs whose chosen answer scores higher (a tie is half); margin: by how much, on average."""
    pairs = rows.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    if "label" in pairs[0]:
        raise Refusal(
            f"{job.inputs['rows']}: its rows are single completions with a `label`, of which none is to be preferred "
            "to another; name a set of pairs"
        )
    turns = [[*pair["prompt"], *pair[side]] for pair in pairs for side in ("chosen", "rejected")]
    told = [rows.options_of(pair) for pair in pairs for _ in ("chosen", "rejected")]
    scores = reward.score_all(job, job.inputs["model"], turns, told)
    scored = zip(pairs, scores[::2], scores[1::2], strict=True)
    made = [
        {"pair": number, "prompt": pair["prompt"], "chosen": chosen, "rejected": rejected}
        for number, (pair, chosen, rejected) in enumerate(scored)
        if chosen is not None and rejected is not None
    ]
    if not made:
        raise Refusal(f"max_length: no pair of {job.inputs['rows']} has as few as {job.recipe['max_length']} tokens")
    counts = {"pairs": len(made), "left_out": len(pairs) - len(made)}  # longer than the model may read
    return Measured(made, [point for row in made for point in points(row)], counts)


def points(row: dict) -> list[Point]:
    """What a pair says of each figure."""
    chosen, rejected, unit = row["chosen"], row["rejected"], str(row["pair"])
    won = (chosen > rejected) + (chosen == rejected) / 2
    return [Point("accuracy", unit, won), Point("margin", unit, chosen - rejected)]
