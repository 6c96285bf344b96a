"""How many of a model's answers are right."""

import math
from collections import Counter
from collections.abc import Iterator

from posttrain.build.job import Job
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal
from posttrain.sample import prompts
from posttrain.sample.blocks import blocks
from posttrain.sample.completions import completions
from posttrain.score.verifying import needs_reference, verified

GREEDY = {"n": 1, "temperature": 0}


def evaluate(job: Job) -> Measured:
    """Every sample with its score.

    accuracy: share of prompts whose greedy answer is right; sampled_accuracy: share of the samples that are;
    pass@k: share of prompts of which one of k samples is right, without bias (arXiv 2107.03374, eq. 1); unverified: how
    many answers the verifier did not get to the end of, if any: they are not right.
    """
    sampling, path = job.recipe["sampling"], job.inputs["rows"] / f"{job.recipe['split']}.parquet"
    read = prompts.read(path)
    found, _ = prompts.fitting([read], job.inputs["model"], sampling["max_new_tokens"])
    fit = [prompt for block in found for prompt in block]
    if not fit:
        raise Refusal(f"{path}: no prompt leaves room for {sampling['max_new_tokens']} tokens")
    open_ends = [prompt.number for prompt in fit if prompt.reference is None]
    if open_ends and needs_reference(job.recipe["verifier"]):
        raise Refusal(
            f"{path} row {open_ends[0] + 1}: ends in no answer, which verifier {job.recipe['verifier']} compares with "
            f"({len(open_ends)} of {len(fit)} do not); give it one, or leave it out of the source"
        )
    made = []
    for how, drawn in (("greedy", sampling | GREEDY), ("sampled", sampling)):
        cuts = blocks(len(fit), drawn["n"], drawn["block_size"])
        asked = [fit[cut.start : cut.stop] for cut in cuts]
        made += [{"how": how, **row} for row in completions(job, how, asked, drawn)]
    scores = [given["score"] for given in verified(job, made)]
    made = [row | {"score": score or 0.0} for row, score in zip(made, scores, strict=True)]
    counts = {"prompts": len(fit), "left_out": len(read) - len(fit)}  # no room for an answer behind them
    counts |= {"unverified": scores.count(None)} if None in scores else {}
    return Measured(made, list(points(made, sampling["n"])), counts)


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
