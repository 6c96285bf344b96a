"""Functions that know whether a completion is right: from its text and the reference answer to a score."""

import math
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TASK = re.compile(rb'DATASET_NAME = "(\w+)"')  # how each of reasoning-gym's tasks says its name


def exact_match(completion: str, reference: str) -> float:
    """1 for the reference, word for word; else 0."""
    return float(completion.strip() == reference.strip())


def reasoning_gym(completion: str, reference: str, task: str) -> float:
    """The score that reasoning-gym's task gives an answer, from 0 to 1; some tasks give parts of 1."""
    score = float(scorer(task).score_answer(completion, {"answer": reference}))
    return score if score <= 1 else math.nextafter(1, 0)  # parts of 1 that rounding adds up to more are no right answer


@cache
def tasks() -> list[str]:
    """The names of reasoning-gym's tasks, or none where it is not installed.

    The plan asks, and the package takes seconds to import; its files are read in a hundredth of one.
    """
    package = find_spec("reasoning_gym")
    files = Path(package.origin).parent.rglob("*.py") if package else []
    return sorted(name.decode() for file in files for name in TASK.findall(file.read_bytes()))


@cache
def scorer(task: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(task, size=1, seed=0)


# What a scorer's `verifier:` may name.
KNOWN = {known.__name__: known for known in (exact_match, reasoning_gym)}
