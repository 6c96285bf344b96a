"""How a judge rates what a model answers, turn by turn."""

from collections.abc import Iterator

from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.evaluate.judging import heard, unheard
from posttrain.evaluate.points import Measured, Point
from posttrain.score.tables import completions_of


def evaluate(job: Job) -> Measured:
    """Every answer with its rating.

    rating: of all answers that have one; rating_turn_1, rating_turn_2, …: of those to a prompt's first question, its
    second, and so on; unrated: share of the questions whose answer has none, or that there was no room to answer.
    """
    read = rows.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    talks = completions_of(job.inputs["answers"])
    made = [answer for talk in talks for answer in answers(talk, read[talk["prompt_id"]]["messages"])]
    said = [answer for answer in made if answer["completion"] is not None]
    scale = [job.recipe["lowest"], job.recipe["highest"]]
    asked = heard(job, "pointwise", said, [(place,) for place in range(len(said))], scale)
    for answer, (_, reply, verdict) in zip(said, asked, strict=True):
        answer |= {"reply": reply, "score": verdict.value, "why": verdict.why}
    counts = {"prompts": len(talks), "left_out": len(read) - len(talks), "answers": len(made)}
    found = sorted(point for answer in made for point in points(answer))  # by figure: each is then where a reader looks
    return Measured(made, found, counts, list(warnings(made)))


def answers(talk: dict, row: list[dict]) -> Iterator[dict]:
    """What is rated of a conversation: each answer, behind all that was said before it."""
    known = known_answers(row)
    for turn, reference in enumerate(known):
        before, said = talk["turns"][: 2 * turn], talk["turns"][2 * turn : 2 * turn + 1]
        yield {
            "prompt_id": talk["prompt_id"],
            "sample": talk["sample"],
            "turn": turn + 1,
            "prompt": [*talk["prompt"], *before],
            "reference": reference,
            "completion": said[0]["content"] if said else None,
            "reply": None,
            "score": None,
            "why": None if said else "no room for an answer",
        }


def known_answers(messages: list[dict]) -> list[str | None]:
    """What a row's assistant says to each of the user's turns, if anything."""
    behind = zip(messages, [*messages[1:], {"role": "", "content": None}], strict=True)
    return [
        after["content"] if after["role"] == "assistant" else None for turn, after in behind if turn["role"] == "user"
    ]


def points(answer: dict) -> Iterator[Point]:
    """What an answer says of each figure; the unit is its prompt, whose answers are drawn together."""
    unit = str(answer["prompt_id"])
    if answer["score"] is not None:
        yield Point("rating", unit, answer["score"])
        yield Point(f"rating_turn_{answer['turn']}", unit, answer["score"])
    yield Point("unrated", unit, float(answer["score"] is None))


def warnings(made: list[dict]) -> Iterator[str]:
    found = [answer["score"] for answer in made if answer["score"] is not None]
    yield from unheard(len(made) - len(found), len(made), "answers have no rating")
    if len(found) > 1 and len(set(found)) == 1:
        yield f"the judge rates each of {len(found)} answers {found[0]:g}, and tells none from another"
