"""Completions of blocks of prompts."""

import hashlib
from functools import cache, partial
from pathlib import Path

from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.sample.engines.transformers import Engine
from posttrain.sample.prompts import Prompt


def key_of(seed: int, prompt_id: int, sample: int) -> int:
    """What an answer is drawn by: 128 bits that no other has."""
    return int.from_bytes(hashlib.sha256(f"{seed} {prompt_id} {sample}".encode()).digest()[:16], "big")


def completions(job: Job, name: str, asked: list[list[Prompt]], sampling: dict) -> list[dict]:
    """The completions of blocks of prompts, in order, each block kept over a kill under a name."""
    device = "cuda" if job.runtime["gpus"] else "cpu"
    work = partial(complete_by, folder=job.inputs["model"], device=device, sampling=sampling)
    return [row for made in each_once(job, name, work, asked) for row in made]


def complete_by(block: list[Prompt], folder: Path, device: str, sampling: dict) -> list[dict]:
    return complete(block, open_engine(folder, device), sampling)


def complete(block: list[Prompt], engine: Engine, sampling: dict) -> list[dict]:
    """n completions of each prompt, in order, as rows of `completions.parquet`."""
    drawn = [(prompt, i) for prompt in block for i in range(sampling["n"])]
    keys = [key_of(sampling["seed"], prompt.number, i) for prompt, i in drawn]
    answers = engine.answer([prompt.turns for prompt, _ in drawn], keys, sampling)
    return [
        {"prompt_id": prompt.number, "sample": i, "prompt": prompt.turns, "reference": prompt.reference} | answer
        for (prompt, i), answer in zip(drawn, answers, strict=True)
    ]


@cache
def open_engine(folder: Path, device: str) -> Engine:
    """One a process, however many ways of sampling."""
    return Engine(folder, device)
