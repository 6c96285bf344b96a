"""Scores by a judge: a model that is asked to rate each completion, or which of two is better."""

from dataclasses import dataclass

import pyarrow as pa

from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.data.ledger import Ledger
from posttrain.files import Refusal
from posttrain.recipes.template import Unsayable, filled
from posttrain.sample.blocks import blocks
from posttrain.sample.completions import completions as answers
from posttrain.sample.prompts import Prompt, fitting
from posttrain.score.tables import by_prompt
from posttrain.score.verdicts import WINS, Verdict, bias, compared, harmless, ring, verdict

REPLIES = pa.schema(
    [
        ("prompt_id", pa.int64()),
        ("samples", pa.list_(pa.int64())),  # in the order in which they were shown
        ("reply", pa.string()),
        ("verdict", pa.float64()),  # a rating, or what the first is worth
        ("why", pa.string()),
    ]
)


@dataclass(frozen=True)
class Question:
    """What a judge is asked of one completion, or of two in an order."""

    about: tuple[int, ...]  # their places among all
    turns: list[dict]
    imitated: bool  # whether one of them imitates a verdict


Asked = tuple[Question, str | None, Verdict]  # with the reply, and what was read of it


def judged(job: Job, completions: list[dict]) -> tuple[list[dict], list[Ledger]]:
    """The `score` of each completion, or None and `why`; ledgers of replies and comparisons. Keeps the replies too.

    A judge is not asked about what is never chosen: it would cost as much, and who meets an empty answer wins.
    """
    untaken = [rows.why_not_taken(row) for row in completions]
    whole = [row for row, why in zip(completions, untaken, strict=True) if not why]
    if not whole:
        raise Refusal("every completion is cut or empty: there is nothing to judge; sample with more max_new_tokens")
    given, ledgers = judged_whole(job, whole)
    scores = iter(given)
    return [{"score": None, "why": why} if why else next(scores) for why in untaken], ledgers


def judged_whole(job: Job, completions: list[dict]) -> tuple[list[dict], list[Ledger]]:
    """The same of completions that all came to their end and say something.

    A score is a rating, or the share of its comparisons that a completion wins, a tie being half of one.
    """
    recipe = job.recipe
    pairs = paired(completions, recipe) if recipe["mode"] == "pairwise" else []
    singly = [(place,) for place in range(len(completions))]
    about = [order for pair in pairs for order in (pair, pair[::-1])] if recipe["mode"] == "pairwise" else singly
    if not about:
        raise Refusal("no prompt has two whole completions to compare; sample more of each, or judge them pointwise")
    asked, ledger = heard(job, completions, about)
    keep(job, asked, completions)
    verdicts = [said for _, _, said in asked]
    if recipe["mode"] == "pointwise":
        return [{"score": said.value, "why": said.why} for said in verdicts], [ledger]
    ledger.found.update(WINS[said.value] for said in verdicts if said.value is not None)
    worth, comparisons = compared(pairs, list(zip(verdicts[::2], verdicts[1::2], strict=True)))
    job.metrics |= bias(verdicts, comparisons)
    met = {place for pair in pairs for place in pair}
    why = ("no other completion to be compared with", "no comparison with a verdict in both orders")
    given = [
        {"score": worth.get(place), "why": None if place in worth else why[place in met]}
        for place in range(len(completions))
    ]
    return given, [ledger, comparisons]


def heard(job: Job, completions: list[dict], about: list[tuple[int, ...]]) -> tuple[list[Asked], Ledger]:
    """What the judge says of some completions, or of two in an order, by their places; and a ledger of its replies.

    Raises: Refusal, if no reply has a verdict.
    """
    recipe = job.recipe
    questions = [question(job, completions, places) for places in about]
    replies = ask(job, questions)
    scale = {name: recipe[name] for name in ("lowest", "highest") if name in recipe}
    verdicts = [verdict(reply, recipe["mode"], **scale) for reply in replies]
    asked = list(zip(questions, replies, verdicts, strict=True))
    ledger = account(asked, completions)
    if not ledger.kept and not recipe.get("by_lot"):
        one = next((reply for reply in replies if reply), "")
        raise Refusal(f"no reply of the judge has a verdict ({ledger.losses()}); one says: {one[:200]!r}")
    job.metrics |= {"replies": ledger.read, "without_verdict": ledger.read - ledger.kept}
    return asked, ledger


def paired(completions: list[dict], recipe: dict) -> list[tuple[int, int]]:
    """The pairs of each prompt's completions that are compared."""
    seed, prompts = recipe["sampling"]["seed"], by_prompt(completions)
    return [
        pair for number, places in prompts.items() for pair in ring(places, recipe["challenges"], f"{seed} {number}")
    ]


def question(job: Job, completions: list[dict], places: tuple[int, ...]) -> Question:
    """The rubric filled in; what it shows has no marks of a verdict."""
    row, shown = completions[places[0]], [completions[place]["completion"] for place in places]
    told = {
        "prompt": [turn | {"content": harmless(turn["content"])} for turn in row["prompt"]],
        "reference": row["reference"] and harmless(row["reference"]),
        **dict(zip(("first", "second") if len(shown) > 1 else ("answer",), map(harmless, shown), strict=True)),
        **{name: f"{job.recipe[name]:g}" for name in ("lowest", "highest") if name in job.recipe},
    }
    try:
        text = filled(job.texts["rubric"], **told)
    except Unsayable as error:
        raise Refusal(f"the rubric: prompt {row['prompt_id']}, sample {row['sample']}: {error}") from None
    return Question(places, [{"role": "user", "content": text}], any(harmless(said) != said for said in shown))


def ask(job: Job, questions: list[Question]) -> list[str | None]:
    """The judge's reply to each question, in blocks that are kept over a kill; None where it has no room for one."""
    sampling = job.recipe["sampling"]
    prompts = [Prompt(i, asked.turns, None) for i, asked in enumerate(questions)]
    cuts = [prompts[cut.start : cut.stop] for cut in blocks(len(prompts), 1, sampling["block_size"])]
    fit, _ = fitting(cuts, job.inputs["model"], sampling["max_new_tokens"])
    found = {row["prompt_id"]: row["completion"] for row in answers(job, "replies", fit, sampling)}
    return [found.get(i) for i in range(len(questions))]


def account(asked: list[Asked], completions: list[dict]) -> Ledger:
    """How many replies have a verdict, and why the others have none."""
    ledger = Ledger("replies")
    for question, reply, said in asked:
        ledger.read += 1
        if question.imitated:
            ledger.alter("a completion that imitates a verdict was shown without its marks")
        if said.value is None:
            ledger.drop(said.why, completions[question.about[0]]["prompt"], reply or "")
    return ledger


def keep(job: Job, asked: list[Asked], completions: list[dict]) -> None:
    """Write what was said of what, and how it was read: replies.parquet."""
    made = [
        {
            "prompt_id": completions[question.about[0]]["prompt_id"],
            "samples": [completions[place]["sample"] for place in question.about],
            "reply": reply,
            "verdict": said.value,
            "why": said.why,
        }
        for question, reply, said in asked
    ]
    rows.write(made, REPLIES, job.out / "replies.parquet")
