"""How many bits a model needs for a byte of text, and how it is surprised by any."""

import math
from functools import cache, partial
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from posttrain import checkpoints
from posttrain.build.job import Job
from posttrain.build.pool import in_batches, padded
from posttrain.data import rows
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal

Piece = tuple[list[int], list[int]]  # tokens that are read, and those behind them that are asked about


def evaluate(job: Job) -> Measured:
    """bits_per_byte: the surprise at all texts, each read after a token that begins it, over their UTF-8 bytes;
    perplexity: e to the surprise over their tokens, by the model's own tokenizer.

    A text longer than max_length, or than the model has places for, is read in pieces, each after the last token of the
    one before.
    """
    found = rows.read(job.inputs["rows"] / f"{job.recipe['split']}.parquet")
    if "text" not in found[0]:
        raise Refusal(f"{job.inputs['rows']}: its rows are conversations; bits per byte are of plain text")
    texts, size = (
        [row["text"] for row in found],
        min(job.recipe["max_length"], checkpoints.places(job.inputs["model"]) - 1),
    )
    tokenizer = AutoTokenizer.from_pretrained(job.inputs["model"])
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    sequences = [[start, *tokenizer.encode(text, add_special_tokens=False)] for text in texts]
    cuts = [(i, at) for i, ids in enumerate(sequences) for at in range(0, len(ids) - 1, size)]
    pieces = [(sequences[i][at : at + 1], sequences[i][at + 1 : at + size + 1]) for i, at in cuts]
    nats = [0.0] * len(texts)
    for (i, _), part in zip(cuts, surprises(job, job.inputs["model"], pieces), strict=True):
        nats[i] += part
    sizes, tokens = [len(text.encode()) for text in texts], [len(ids) - 1 for ids in sequences]
    made = [
        {"text": text, "bits_per_byte": part / math.log(2) / size, "perplexity": math.exp(part / count)}
        for text, part, size, count in zip(texts, nats, sizes, tokens, strict=True)
    ]
    points = []
    for number, (part, size, count) in enumerate(zip(nats, sizes, tokens, strict=True)):
        points += [Point("bits_per_byte", str(number), part / math.log(2), size)]
        points += [Point("perplexity", str(number), part, count)]
    return Measured(made, points, {"texts": len(texts), "bytes": sum(sizes), "tokens": sum(tokens)})


def surprises(job: Job, folder: Path, pieces: list[Piece], name: str = "batches") -> list[float]:
    """The surprise of a model of a folder at each of some pieces, over the job's processes."""
    work = partial(surprise, folder=folder, device="cuda" if job.runtime["gpus"] else "cpu")
    return in_batches(job, work, pieces, length=lambda piece: sum(map(len, piece)), name=name)


@torch.no_grad()
def surprise(pieces: list[Piece], folder: Path, device: str) -> list[float]:
    """For each piece the negative log-probability of its tokens behind those that are read before, in nats."""
    ids, mask = (torch.tensor(rows, device=device) for rows in padded([before + said for before, said in pieces]))
    logits = open_model(folder, device)(input_ids=ids, attention_mask=mask).logits
    return [  # one at a time: in full precision all at once are several times the model
        cross_entropy(
            row[len(before) - 1 : len(before) + len(said) - 1].float(),
            torch.tensor(said, device=device),
            reduction="sum",
        ).item()
        for (before, said), row in zip(pieces, logits, strict=True)
    ]


@cache
def open_model(folder: Path, device: str) -> PreTrainedModel:
    """One a process."""
    return checkpoints.open_model(AutoModelForCausalLM, folder, dtype="auto").to(device).eval()
