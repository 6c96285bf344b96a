"""How often a model prefers the chosen answer: a reward model by its scores, any other by how likely the two are."""

from transformers import AutoTokenizer

from posttrain import checkpoints
from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.data.ledger import Ledger
from posttrain.data.tokens import dpo_tokens
from posttrain.evaluate.points import Measured, Point
from posttrain.evaluate.text import surprises
from posttrain.files import Refusal
from posttrain.score import reward

SIDES = ("chosen", "rejected")


def evaluate(job: Job) -> Measured:
    """Every pair with its two values: of a reward model its scores; of any other the log-probs of the answers, each the
    sum over its tokens, less those of a reference if there is one (DPO's implicit rewards, over beta).

    accuracy: share of pairs of which the chosen answer has more (a tie is half); margin: how much more, on average;
    chosen_logps, rejected_logps: the log-probs, in nats, which TRL calls logps/chosen and logps/rejected.
    """
    pairs = rows.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    if "label" in pairs[0]:
        raise Refusal(
            f"{job.inputs['rows']}: its rows are single completions with a `label`, of which none is to be preferred "
            "to another; name a set of pairs"
        )
    scores = rewards if checkpoints.has_head(job.inputs["model"]) else log_probs
    made = [
        {"pair": number, "prompt": pair["prompt"], **found}
        for number, (pair, found) in enumerate(zip(pairs, scores(job, pairs), strict=True))
        if found
    ]
    if not made:
        raise Refusal(f"max_length: no pair of {job.inputs['rows']} has as few as {job.recipe['max_length']} tokens")
    counts = {"pairs": len(made), "left_out": len(pairs) - len(made)}  # longer than the model may read
    return Measured(made, [point for row in made for point in points(row)], counts)


def rewards(job: Job, pairs: list[dict]) -> list[dict | None]:
    """A reward model's scores of each pair; None of one that is longer than it may read."""
    if "reference" in job.inputs:
        raise Refusal(f"{job.inputs['model']} is a reward model, whose scores are its own; leave `reference` out")
    turns = [[*pair["prompt"], *pair[side]] for pair in pairs for side in SIDES]
    told = [rows.options_of(pair) for pair in pairs for _ in SIDES]
    found = reward.score_all(job, job.inputs["model"], turns, told)
    both = zip(found[::2], found[1::2], strict=True)
    return [None if None in scores else dict(zip(SIDES, scores, strict=True)) for scores in both]


def log_probs(job: Job, pairs: list[dict]) -> list[dict | None]:
    """A policy's log-probs of each pair, of the tokens that DPO would see; None of a pair that it would leave out."""
    folder = job.inputs["model"]
    tokenizer, ledger = checkpoints.open_chat_tokenizer(folder), Ledger("pairs")
    room = {"max_length": min(job.recipe["max_length"], checkpoints.places(folder))}
    read = [dpo_tokens(pair, tokenizer, room, ledger) for pair in pairs]
    pieces = [(row["prompt_ids"], row[f"{side}_ids"]) for row in read if row for side in SIDES]
    ours = [-nats for nats in surprises(job, folder, pieces)]
    theirs = [0.0] * len(ours)
    if reference := job.inputs.get("reference"):
        if AutoTokenizer.from_pretrained(reference).get_vocab() != tokenizer.get_vocab():
            raise Refusal(f"reference: {reference} has other tokens than {folder}; name the model that it began as")
        theirs = [-nats for nats in surprises(job, reference, pieces, "reference")]
    said = iter(zip(ours, theirs, strict=True))
    return [of_sides(next(said), next(said)) if row else None for row in read]


def of_sides(*logps: tuple[float, float]) -> dict:
    """What a pair's sample says of the model's and the reference's log-probs of each side."""
    made = {side: ours - theirs for side, (ours, theirs) in zip(SIDES, logps, strict=True)}
    return made | {f"{side}_logps": ours for side, (ours, _) in zip(SIDES, logps, strict=True)}


def points(row: dict) -> list[Point]:
    """What a pair says of each figure."""
    chosen, rejected, unit = row["chosen"], row["rejected"], str(row["pair"])
    won = (chosen > rejected) + (chosen == rejected) / 2
    logps = [Point(name, unit, row[name]) for name in ("chosen_logps", "rejected_logps") if name in row]
    return [Point("accuracy", unit, won), Point("margin", unit, chosen - rejected), *logps]
