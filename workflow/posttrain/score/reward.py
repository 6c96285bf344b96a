"""Scores by a reward model: its one logit for a conversation that ends in the completion."""

from collections.abc import Iterable
from functools import cache, partial
from itertools import repeat
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from posttrain import checkpoints
from posttrain.build.job import Job
from posttrain.build.pool import in_batches, padded
from posttrain.files import Refusal

TOO_LONG = "longer than the reward model may read"


def rewarded(job: Job, completions: list[dict]) -> list[dict]:
    """What the job's reward model gives each completion: a `score`, or None and `why`."""
    turns = [[*row["prompt"], {"role": "assistant", "content": row["completion"]}] for row in completions]
    scores = score_all(job, job.inputs["reward_model"], turns)
    return [{"score": score, "why": None if score is not None else TOO_LONG} for score in scores]


def score_all(
    job: Job, folder: Path, conversations: list[list[dict]], told: Iterable[dict] = repeat({})
) -> list[float | None]:
    """The reward of each conversation, over the job's processes; None of one that has more tokens than max_length or
    places: cut, it would be read where no reward is.

    Args:
        told: of each, what its row tells the template besides.
    """
    tokenizer, room = checkpoints.open_chat_tokenizer(folder), min(job.recipe["max_length"], checkpoints.places(folder))
    read = [
        tokenizer.apply_chat_template(turns, return_dict=True, **options)["input_ids"]
        for turns, options in zip(conversations, told, strict=False)
    ]
    work = partial(score, folder=folder, device="cuda" if job.runtime["gpus"] else "cpu")
    scores = iter(in_batches(job, work, [ids for ids in read if len(ids) <= room]))
    return [next(scores) if len(ids) <= room else None for ids in read]


@torch.no_grad()
def score(conversations: list[list[int]], folder: Path, device: str) -> list[float]:
    """The rewards of conversations of token ids."""
    model, pad = open_model(folder, device)
    fed = conversations * 2 if len(conversations) == 1 else conversations  # one alone is summed by other kernels
    ids, mask = (torch.tensor(rows, device=device) for rows in padded(fed, pad))
    return model(input_ids=ids, attention_mask=mask).logits.squeeze(-1).float().tolist()[: len(conversations)]


@cache
def open_model(folder: Path, device: str) -> tuple:
    """The model and the token it pads with; one a process."""
    model = checkpoints.open_model(AutoModelForSequenceClassification, folder, dtype="auto")
    if model.config.num_labels != 1:
        raise Refusal(f"{folder} has {model.config.num_labels} labels; a reward model has one")
    if model.config.pad_token_id is None:
        raise Refusal(f"{folder}/config.json has no pad_token_id, by which transformers finds where a reward is read")
    return model.to(device).eval(), model.config.pad_token_id
