"""Completions of blocks of prompts."""

import hashlib
import itertools
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path

from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.sample.conversations import PLAIN, Talk, opening
from posttrain.sample.engines import Engine
from posttrain.sample.prompts import Prompt, Room


def key_of(seed: int, prompt_id: int, sample: int, *more: int | str) -> int:
    """What is drawn by: 128 bits that no other draw has.

    Args:
        more: of a later answer its turn, counted from 0; of a conversation's choice `choice`.
    """
    said = " ".join(map(str, (seed, prompt_id, sample, *more)))
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:16], "big")


def completions(
    job: Job, name: str, asked: list[list[Prompt]], sampling: dict, conversation: dict = PLAIN
) -> list[dict]:
    """The completions of blocks of prompts, in order, each block kept over a kill under a name."""
    device = "cuda" if job.runtime["gpus"] else "cpu"
    work = partial(complete_by, folder=job.inputs["model"], device=device, sampling=sampling, conversation=conversation)
    return [row for made in each_once(job, name, work, asked) for row in made]


def complete_by(block: list[Prompt], folder: Path, device: str, sampling: dict, conversation: dict) -> list[dict]:
    engine = open_engine(sampling.get("engine", "transformers"), folder, device)
    return complete(block, engine, sampling, conversation, open_room(folder, sampling["max_new_tokens"]).holds)


def complete(
    block: list[Prompt],
    engine: Engine,
    sampling: dict,
    conversation: dict = PLAIN,
    fits: Callable[[list[dict]], bool] = bool,
) -> list[dict]:
    """n completions of each prompt, in order, as rows of `completions.parquet`.

    A conversation goes turn by turn, all of a block side by side. One that has no room for another answer is asked no
    more, nor is one whose answer was cut, unless it is the prompt's own user who asks.

    Args:
        fits: whether there is room for an answer behind some turns, of which a first one has.
    """
    talks = [begun(prompt, i, sampling["seed"], conversation) for prompt in block for i in range(sampling["n"])]
    hear(talks, engine, sampling)
    for turn in itertools.count(1):
        if not (going := [talk for talk in talks if talk.ask(conversation)]):
            break
        hear([talk for talk in going if fits(talk.asked)], engine, sampling, turn)
    return [talk.row() | (talk.columns() if conversation != PLAIN else {}) for talk in talks]


def hear(talks: list[Talk], engine: Engine, sampling: dict, *turn: int) -> None:
    """Have an engine answer what each was asked last, side by side; of a later turn than the first its number."""
    if not talks:
        return
    keys = [key_of(sampling["seed"], talk.prompt.number, talk.sample, *turn) for talk in talks]
    for talk, answer in zip(talks, engine.answer([talk.asked for talk in talks], keys, sampling), strict=True):
        talk.hear(answer)


def begun(prompt: Prompt, sample: int, seed: int, conversation: dict) -> Talk:
    """A sample's conversation with its choice drawn, which hangs on nothing but the seed and their numbers."""
    count = len(conversation["choices"])
    choice = key_of(seed, prompt.number, sample, "choice") % count if count else None
    return Talk(prompt, sample, opening(conversation, prompt.turns), choice)


@cache
def open_room(folder: Path, max_new_tokens: int) -> Room:
    """One a process: it opens a tokenizer, which takes as long as a small block."""
    return Room(folder, max_new_tokens)


@cache
def open_engine(name: str, folder: Path, device: str) -> Engine:
    """One a process, however many ways of sampling; only its library is imported, for another may not be there."""
    return import_module(f"posttrain.sample.engines.{name}").Engine(folder, device)
