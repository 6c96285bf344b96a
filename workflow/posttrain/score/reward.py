"""Scores by a reward model: its one logit for a conversation that ends in the completion."""

from functools import cache, partial
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from posttrain.build.job import Job
from posttrain.build.pool import in_batches
from posttrain.files import Refusal


def read(folder: Path, conversations: list[list[dict]], max_length: int) -> list[list[int]]:
    """The token ids of each conversation, as the reward model of a folder was taught to read them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        raise Refusal(f"{folder} has no chat template to put a conversation in; give the model a `template`")
    made = [tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"] for turns in conversations]
    room = min(max_length, getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", max_length))
    longer = [len(ids) for ids in made if len(ids) > room]
    if longer:  # cut, they would be read where no reward is
        raise Refusal(
            f"{len(longer)} conversations are longer than the {room} tokens that max_length and the model allow (the "
            f"longest has {max(longer)}); raise max_length, or sample fewer max_new_tokens"
        )
    return made


def score_all(job: Job, folder: Path, conversations: list[list[int]]) -> list[float]:
    """The rewards of conversations of token ids, over the job's shards."""
    work = partial(score, folder=folder, device="cuda" if job.runtime["gpus"] else "cpu")
    return in_batches(job, work, conversations)


@torch.no_grad()
def score(conversations: list[list[int]], folder: Path, device: str) -> list[float]:
    """The rewards of conversations of token ids."""
    model, pad = open_model(folder, device)
    fed = conversations * 2 if len(conversations) == 1 else conversations  # one alone is summed by other kernels
    longest = max(map(len, fed))
    ids = torch.tensor([said + [pad] * (longest - len(said)) for said in fed], device=device)
    mask = torch.tensor([[1] * len(said) + [0] * (longest - len(said)) for said in fed], device=device)
    return model(input_ids=ids, attention_mask=mask).logits.squeeze(-1).float().tolist()[: len(conversations)]


@cache
def open_model(folder: Path, device: str) -> tuple:
    """The model and the token it pads with; one a process."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="auto", use_safetensors=True)
    if model.config.num_labels != 1:
        raise Refusal(f"{folder} has {model.config.num_labels} labels; a reward model has one")
    return model.to(device).eval(), model.config.pad_token_id
