"""Work spread over processes, its results in the order of what was asked."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

from posttrain.build.job import Job
from posttrain.build.processes import die_with_parent

AHEAD = 4  # items a process that are in memory at once
BATCH = 32  # sequences side by side


def spread(work: Callable, items: Iterable, processes: int) -> Iterator[Any]:
    """`map` over processes: spawned, for torch and tokenizers do not survive a fork."""
    items = iter(items)
    if processes == 1:
        yield from map(work, items)
        return
    alike = {"mp_context": get_context("spawn"), "initializer": die_with_parent, "initargs": (str(os.getpid()),)}
    with ProcessPoolExecutor(processes, **alike) as pool:
        while window := list(islice(items, AHEAD * processes)):
            yield from pool.map(work, window)


def in_batches(job: Job, work: Callable[[list[list[int]]], list[float]], sequences: list[list[int]]) -> list[float]:
    """A number for each sequence of token ids, over the job's shards: those of like length side by side."""
    numbers, cuts = [0.0] * len(sequences), batches([len(ids) for ids in sequences])
    found = spread(work, ([sequences[i] for i in cut] for cut in cuts), job.runtime["shards"])
    for done, (cut, made) in enumerate(zip(cuts, found, strict=True), 1):
        for i, number in zip(cut, made, strict=True):
            numbers[i] = number
        job.say(step=done, max_steps=len(cuts))
    return numbers


def batches(lengths: list[int]) -> list[list[int]]:
    """The numbers of sequences of like length together, longest first, each once: whatever the shards."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
