"""How far a model has moved from the policy that it began as, where it goes itself."""

from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from posttrain.build.job import Job
from posttrain.build.pool import each_once, padded
from posttrain.checkpoints import prompt_ids
from posttrain.evaluate.points import Measured, Point
from posttrain.evaluate.text import open_model
from posttrain.files import Refusal
from posttrain.sample import prompts
from posttrain.sample.blocks import blocks
from posttrain.sample.completions import key_of, open_engine
from posttrain.sample.prompts import Prompt


def evaluate(job: Job) -> Measured:
    """Every sample with its divergence.

    kl: KL(model ‖ first policy) of an answer, in nats: the divergence of the two next-token distributions, each over
    the whole vocabulary, summed over an answer's tokens and averaged over answers drawn from the model. It is without
    bias, and varies less than log-ratios of the tokens drawn. kl_per_token: over all tokens; tokens: of an answer.
    """
    sampling, read = job.recipe["sampling"], prompts.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    cuts = [read[cut.start : cut.stop] for cut in blocks(len(read), sampling["n"], sampling["block_size"])]
    fit, ledger = prompts.fitting(cuts, job.inputs["model"], sampling["max_new_tokens"])
    if not fit:
        raise Refusal(f"{job.inputs['rows']}: no prompt leaves room for {sampling['max_new_tokens']} tokens")
    device = "cuda" if job.runtime["gpus"] else "cpu"
    folders = {"folder": job.inputs["model"], "first": job.inputs["first"]}
    work = partial(moved, **folders, device=device, sampling=sampling)
    made = [row for block in each_once(job, "blocks", work, fit) for row in block]
    counts = {"prompts": ledger.kept, "left_out": ledger.read - ledger.kept}  # no room for an answer behind them
    return Measured(made, [point for row in made for point in points(row)], counts)


def points(row: dict) -> list[Point]:
    """What an answer says of each figure; its divergence and tokens are those of its prompt's unit."""
    unit = str(row["prompt_id"])
    return [
        Point("kl", unit, row["kl"]),
        Point("kl_per_token", unit, row["kl"], row["tokens"]),
        Point("tokens", unit, row["tokens"]),
    ]


def moved(block: list[Prompt], folder: Path, first: Path, device: str, sampling: dict) -> list[dict]:
    """n answers of the model to each prompt, each with its divergence."""
    drawn = [(prompt, i) for prompt in block for i in range(sampling["n"])]
    keys = [key_of(sampling["seed"], prompt.number, i) for prompt, i in drawn]
    engine = open_engine("transformers", folder, device)
    asked = [prompt_ids(engine.tokenizer, prompt.turns) for prompt, _ in drawn]
    made = engine.draw(asked, keys, sampling)
    answers = [engine.read(ids, sampling.get("stop", [])) for ids in made]
    said = [ids[: answer["tokens"]] for ids, answer in zip(made, answers, strict=True)]
    found = divergences(asked, said, engine.model, open_model(first, device))
    return [
        {"prompt_id": prompt.number, "sample": i, "prompt": prompt.turns, **answer, "kl": kl}
        for (prompt, i), answer, kl in zip(drawn, answers, found, strict=True)
    ]


@torch.no_grad()
def divergences(
    asked: list[list[int]], said: list[list[int]], ours: PreTrainedModel, theirs: PreTrainedModel
) -> list[float]:
    """For each answer, of tokens behind its prompt's, the sum over them of KL(ours ‖ theirs), in nats."""
    sequences = [before + after for before, after in zip(asked, said, strict=True)]
    ids, mask = (torch.tensor(made, device=ours.device) for made in padded(sequences))
    mine, other = (model(input_ids=ids, attention_mask=mask, use_cache=False).logits for model in (ours, theirs))
    if mine.shape != other.shape:
        raise Refusal(f"drift_from says {other.shape[-1]} tokens, and the model {mine.shape[-1]}: not one policy's")
    return [  # one at a time: in full precision all at once are several times the models
        divergence(*(row[len(before) - 1 : len(before) + len(after) - 1] for row in rows))
        for before, after, *rows in zip(asked, said, mine, other, strict=True)
    ]


def divergence(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The sum over places of KL(ours ‖ theirs), of logits of shape (places, vocabulary)."""
    log_p, log_q = ours.double().log_softmax(-1), theirs.double().log_softmax(-1)
    return torch.nn.functional.kl_div(log_q, log_p, reduction="sum", log_target=True).item()
