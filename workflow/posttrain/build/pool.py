"""Work spread over processes, its results in the order of what was asked."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

from posttrain.build.processes import die_with_parent

AHEAD = 4  # items a process that are in memory at once


def spread(work: Callable, items: Iterable, processes: int) -> Iterator[Any]:
    """`map` over processes: spawned, for torch and tokenizers do not survive a fork."""
    items = iter(items)
    if processes == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=die_with_parent) as pool:
        while window := list(islice(items, AHEAD * processes)):
            yield from pool.map(work, window)
