"""Work spread over processes, its results in the order of what was asked, and kept over a kill."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from posttrain.build.job import Job
from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal, read_json, write_json

AHEAD = 4  # items a process that are in memory at once
BATCH = 32  # sequences side by side, and
BATCH_TOKENS = 16384  # tokens of them, padding too: what the logits of a large vocabulary leave room for


def spread(work: Callable, items: Iterable, processes: int) -> Iterator[Any]:
    """`map` over processes: spawned, for torch and tokenizers do not survive a fork."""
    items = iter(items)
    if processes == 1:
        yield from map(work, items)
        return
    mortal = {"initializer": die_with_parent, "initargs": (str(os.getpid()),)}
    pool = ProcessPoolExecutor(processes, get_context("spawn"), **mortal)
    try:
        window = deque(pool.submit(work, item) for item in islice(items, AHEAD * processes))
        while window:
            made = window.popleft().result()
            window.extend(pool.submit(work, item) for item in islice(items, 1))
            yield made
    except BrokenProcessPool:
        raise Refusal(
            f"one of {processes} processes was killed, for want of memory as a rule; raise mem_gb, or say fewer"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)  # who fails does not wait for what has not begun


def each_once(job: Job, name: str, work: Callable, items: list) -> Iterator[Any]:
    """What work makes of each item, which JSON can hold, over the job's processes.

    What an earlier run of the job had made when it was killed is not made again: it is kept by its number.
    """
    keeping = partial(make_once, work=work, folder=job.kept / name)
    processes = max(min(job.runtime["processes"], len(items)), 1)
    for done, made in enumerate(spread(keeping, enumerate(items), processes), 1):
        job.say(step=done, max_steps=len(items))
        yield made


def make_once(numbered: tuple[int, Any], work: Callable, folder: Path) -> Any:
    number, item = numbered
    path = folder / f"{number}.json"
    kept = read_json(path)
    if not kept:
        kept = {"made": work(item)}
        write_json(path, kept)
    return kept["made"]


def in_batches(
    job: Job, work: Callable[[list], list[float]], sequences: list, length: Callable = len, name: str = "batches"
) -> list[float]:
    """A number for each sequence of token ids: those of like length are given to work side by side.

    Args:
        length: how many tokens a sequence has.
        name: what they are kept under over a kill.
    """
    numbers, cuts = [0.0] * len(sequences), batches([length(ids) for ids in sequences])
    found = each_once(job, name, work, [[sequences[i] for i in cut] for cut in cuts])
    for cut, made in zip(cuts, found, strict=True):
        for i, number in zip(cut, made, strict=True):
            numbers[i] = number
    return numbers


def padded(sequences: list[list[int]], pad: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Sequences of token ids, each filled up behind to the longest, and their masks: 1 for what is no padding."""
    longest = max(map(len, sequences))
    filled = [ids + [pad] * (longest - len(ids)) for ids in sequences]
    return filled, [[1] * len(ids) + [0] * (longest - len(ids)) for ids in sequences]


def batches(lengths: list[int]) -> list[list[int]]:
    """The numbers of sequences of like length together, longest first, each once: whatever the processes."""
    cuts: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not cuts or len(cuts[-1]) == BATCH or lengths[cuts[-1][0]] * (len(cuts[-1]) + 1) > BATCH_TOKENS:
            cuts.append([])
        cuts[-1].append(i)
    return cuts
