"""How many of a model's answers are right."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from posttrain.build.job import Job
from posttrain.evaluate import shards
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal
from posttrain.sample import prompts
from posttrain.sample.blocks import blocks, share
from posttrain.sample.completions import completions
from posttrain.sample.prompts import Prompt
from posttrain.score.verifiers import needs_reference
from posttrain.score.verifying import verified

GREEDY = {"n": 1, "temperature": 0}


def evaluate(job: Job) -> Measured:
    """Every sample with its score.

    accuracy: share of prompts whose greedy answer is right; sampled_accuracy: share of the samples that are;
    pass@k: share of prompts of which one of k samples is right, without bias (arXiv 2107.03374, eq. 1); unverified: how
    many answers the verifier did not get to the end of, if any: they are not right.
    """
    asked, left_out = asked_of(job)
    if needs_reference(job.recipe["verifier"]):
        refuse_open_ends(job, asked)
    made = gathered(job, asked) if job.shards else answered(job, asked, 0, 1)
    scores = [given["score"] for given in verified(job, made)]
    made = [row | {"score": score or 0.0} for row, score in zip(made, scores, strict=True)]
    counts = {"prompts": len(asked), "left_out": left_out}  # no room for an answer behind them
    counts |= {"unverified": scores.count(None)} if None in scores else {}
    return Measured(made, list(points(made, job.recipe["sampling"]["n"])), counts)


def answer_shard(job: Job) -> None:
    """A shard's answers, for the evaluation to gather."""
    asked, _ = asked_of(job)
    shards.write(job, answered(job, asked, job.recipe["shard"], job.recipe["shards"]))


def asked_of(job: Job) -> tuple[list[Prompt], int]:
    """The prompts behind which there is room for an answer, and how many others there are."""
    path, most = rows_of(job), job.recipe["sampling"]["max_new_tokens"]
    read = prompts.read(path)
    found, _ = prompts.fitting([read], job.inputs["model"], most)
    fit = [prompt for block in found for prompt in block]
    if not fit:
        raise Refusal(f"{path}: no prompt leaves room for {most} tokens")
    return fit, len(read) - len(fit)


def refuse_open_ends(job: Job, asked: list[Prompt]) -> None:
    """Raises: Refusal, if a prompt has no right answer."""
    open_ends = [prompt.number for prompt in asked if prompt.reference is None]
    if open_ends:
        raise Refusal(
            f"{rows_of(job)} row {open_ends[0] + 1}: ends in no answer, which the verifier compares with "
            f"({len(open_ends)} of {len(asked)} do not); give it one, or leave it out of the source"
        )


def rows_of(job: Job) -> Path:
    return job.inputs["rows"] / f"{job.recipe['split']}.parquet"


def answered(job: Job, asked: list[Prompt], shard: int, of: int) -> list[dict]:
    """What the model answers to a shard's blocks of prompts, however it is asked."""
    made = []
    for how, drawn in ways(job.recipe["sampling"]).items():
        mine = share(blocks(len(asked), drawn["n"], drawn["block_size"]), shard, of)
        said = completions(job, how, [asked[cut.start : cut.stop] for cut in mine], drawn)
        made += [{"how": how, **row} for row in said]
    return made


def gathered(job: Job, asked: list[Prompt]) -> list[dict]:
    """What all shards were answered, as one job would have it."""
    made, ordered = [row for part in shards.read(job) for row in part], []
    for how, drawn in ways(job.recipe["sampling"]).items():
        mine = [row for row in made if row["how"] == how]
        wanted = [(prompt.number, i) for prompt in asked for i in range(drawn["n"])]
        if [(row["prompt_id"], row["sample"]) for row in mine] != wanted:
            raise Refusal(f"{job.shards[0]} and its like have not every answer once; delete them and run again")
        ordered += mine
    return ordered


def ways(sampling: dict) -> dict[str, dict]:
    return {"greedy": sampling | GREEDY, "sampled": sampling}


def points(made: list[dict], n: int) -> Iterator[Point]:
    """What the answers to each prompt say of each figure."""
    for how, figure in (("greedy", "accuracy"), ("sampled", "sampled_accuracy")):
        yield from (Point(figure, unit(row), float(row["score"] >= 1)) for row in made if row["how"] == how)
    right = Counter({unit(row): 0 for row in made})
    right.update(unit(row) for row in made if row["how"] == "sampled" and row["score"] >= 1)
    for k in powers(n):
        yield from (Point(f"pass@{k}", prompt, pass_at(n, count, k)) for prompt, count in right.items())
    yield from (Point("finished", unit(row), float(row["finished"])) for row in made)


def unit(row: dict) -> str:
    return str(row["prompt_id"])


def pass_at(n: int, right: int, k: int) -> float:
    """The chance that k of n samples, of which some are right, hold a right one."""
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def powers(n: int) -> list[int]:
    """1, 2, 4, … up to n."""
    return [1 << i for i in range(n.bit_length()) if 1 << i <= n]
