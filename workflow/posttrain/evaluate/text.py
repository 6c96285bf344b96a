"""How many bits a model needs for a byte of text."""

import math
from functools import cache, partial
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from posttrain import checkpoints
from posttrain.build.job import Job
from posttrain.build.pool import in_batches, padded
from posttrain.data import rows
from posttrain.evaluate.points import Measured, Point
from posttrain.files import Refusal


def evaluate(job: Job) -> Measured:
    """bits_per_byte: the surprise at all texts, each read after a token that begins it, over their UTF-8 bytes.

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
    pieces = [(i, ids[at : at + size + 1]) for i, ids in enumerate(sequences) for at in range(0, len(ids) - 1, size)]
    work = partial(surprise, folder=job.inputs["model"], device="cuda" if job.runtime["gpus"] else "cpu")
    nats = [0.0] * len(texts)
    for (i, _), part in zip(pieces, in_batches(job, work, [ids for _, ids in pieces]), strict=True):
        nats[i] += part
    sizes = [len(text.encode()) for text in texts]
    made = [
        {"text": text, "bits_per_byte": part / math.log(2) / size}
        for text, part, size in zip(texts, nats, sizes, strict=True)
    ]
    points = [
        Point("bits_per_byte", str(number), part / math.log(2), size)
        for number, (part, size) in enumerate(zip(nats, sizes, strict=True))
    ]
    return Measured(made, points, {"texts": len(texts), "bytes": sum(sizes)})


@torch.no_grad()
def surprise(sequences: list[list[int]], folder: Path, device: str) -> list[float]:
    """For each sequence the negative log-probability of its tokens after the first, in nats."""
    ids, mask = (torch.tensor(rows, device=device) for rows in padded(sequences))
    logits = open_model(folder, device)(input_ids=ids, attention_mask=mask).logits
    return [  # one at a time: in full precision all at once are several times the model
        torch.nn.functional.cross_entropy(row[: len(said) - 1].float(), row_ids[1 : len(said)], reduction="sum").item()
        for said, row, row_ids in zip(sequences, logits, ids, strict=True)
    ]


@cache
def open_model(folder: Path, device: str) -> PreTrainedModel:
    """One a process."""
    return checkpoints.open_model(AutoModelForCausalLM, folder, dtype="auto").to(device).eval()
