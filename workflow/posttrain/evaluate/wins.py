"""How often a judge prefers a model's answers to another's."""

from collections.abc import Iterator

from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.evaluate.judging import heard, unheard
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal
from posttrain.score.tables import completions_of
from posttrain.score.verdicts import FIRST_IS_WORTH, compared

FIGURES = ("win_rate", "inconsistent", "first_place", "longer", "unjudged")  # in the order in which they are read
PARTIAL = 0.5  # a share of pairs whose verdicts change with the order that makes a judge one of places


def evaluate(job: Job) -> Measured:
    """Every pair of answers with what the model's is worth.

    win_rate: share of the prompts to which the judge prefers the model's answer in both orders; a tie is half a win,
    and so are verdicts that change with the order. inconsistent: share of the prompts whose verdicts do; first_place:
    share of the single wins that are of what was shown first; longer: share of the prompts with a winner of which that
    is the longer answer; unjudged: share of the prompts without a verdict in both orders.
    """
    read = rows.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    ours, theirs = (
        {row["prompt_id"]: row for row in completions_of(job.inputs[role])} for role in ("answers", "against")
    )
    both = sorted(ours.keys() & theirs.keys())
    shown = [row | {"sample": side} for number in both for side, row in enumerate((ours[number], theirs[number]))]
    pairs = [(2 * i, 2 * i + 1) for i in range(len(both))]
    about = [order for pair in pairs for order in (pair, pair[::-1])]
    asked = heard(job, "pairwise", shown, about, list(FIRST_IS_WORTH.values()))
    verdicts = [verdict for _, _, verdict in asked]
    worth, _ = compared(pairs, list(zip(verdicts[::2], verdicts[1::2], strict=True)))
    if not worth:
        raise Refusal("no pair of answers has a verdict of the judge in both orders")
    made = [sample(shown[place], shown[other], asked[place], asked[other], worth.get(place)) for place, other in pairs]
    points = sorted((point for row in made for point in points_of(row)), key=lambda point: FIGURES.index(point.figure))
    counts = {"prompts": len(made), "left_out": len(read) - len(made)}
    return Measured(made, points, counts, list(warnings(made)))


def sample(ours: dict, theirs: dict, asked: tuple, turned: tuple, worth: float | None) -> dict:
    """A pair of answers, and what the judge says where the model's is shown first, and where it is second."""
    (_, reply, first), (_, reply_turned, second) = asked, turned
    return {
        "prompt_id": ours["prompt_id"],
        "prompt": ours["prompt"],
        "completion": ours["completion"],
        "against": theirs["completion"],
        "score": worth,
        "reply_first": reply,
        "verdict_first": first.value,
        "reply_second": reply_turned,
        "verdict_second": second.value,
        "why": first.why or second.why,
    }


def points_of(row: dict) -> Iterator[Point]:
    """What a pair says of each figure."""
    unit, worth = str(row["prompt_id"]), row["score"]
    verdicts = (row["verdict_first"], row["verdict_second"])  # each is what the first place is worth
    if worth is not None:
        yield Point("win_rate", unit, worth)
        yield Point("inconsistent", unit, float(verdicts[0] != 1 - verdicts[1]))
    if won := [verdict for verdict in verdicts if verdict in (0, 1)]:
        yield Point("first_place", unit, won.count(1), len(won))
    ours, theirs = len(row["completion"]), len(row["against"])
    if worth in (0, 1) and ours != theirs:
        yield Point("longer", unit, float((worth == 1) == (ours > theirs)))
    yield Point("unjudged", unit, float(worth is None))


def warnings(made: list[dict]) -> Iterator[str]:
    judged = [row for row in made if row["score"] is not None]
    yield from unheard(len(made) - len(judged), len(made), "prompts have no verdict in both orders")
    changing = sum(row["verdict_first"] != 1 - row["verdict_second"] for row in judged)
    if changing > PARTIAL * len(judged):
        yield (
            f"the judge goes by the place: of {changing} of {len(judged)} pairs the verdict changes with the order, "
            "which makes a tie; win_rate says little of the models"
        )
    if len(judged) > 1 and {row[side] for row in judged for side in ("verdict_first", "verdict_second")} == {0.5}:
        yield f"the judge calls all {len(judged)} pairs a tie; win_rate says nothing of the models"
