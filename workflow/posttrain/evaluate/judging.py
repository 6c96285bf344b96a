"""What a judge says of a model's answers, as an evaluation asks it."""

from dataclasses import replace
from itertools import cycle

from posttrain.build.job import Job
from posttrain.data.ledger import write
from posttrain.score import judge
from posttrain.score.judge import Asked
from posttrain.score.verdicts import Verdict

MANY = 0.1  # a share of answers without a verdict that a reader of the figures must know of


def heard(job: Job, mode: str, completions: list[dict], about: list[tuple[int, ...]], lots: list[float]) -> list[Asked]:
    """The judge's verdicts on completions, or on two in an order, by their places. Keeps a ledger of its replies.

    An evaluation asks about what was cut and what is empty too: a model is not measured by its better answers alone.

    Args:
        lots: the verdicts of a rehearsal, in turn.
    """
    told = {"mode": mode, "sampling": job.recipe["judging"]}
    asks = replace(job, recipe=job.recipe | told, inputs=job.inputs | {"model": job.inputs["judge"]})
    asked, ledger = judge.heard(asks, completions, about)
    write(job.out, [ledger])
    if job.recipe.get("by_lot"):
        return [(question, reply, Verdict(lot)) for (question, reply, _), lot in zip(asked, cycle(lots), strict=False)]
    return asked


def unheard(count: int, all_of: int, what: str) -> list[str]:
    """A warning where much has no verdict."""
    return [f"{count} of {all_of} {what}, and count in no other figure"] if count > MANY * all_of else []
