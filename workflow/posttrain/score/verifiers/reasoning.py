"""The tasks of reasoning-gym, as judges of an answer."""

import math
from functools import cache
from typing import Any


def reasoning_gym(completion: str, reference: str, task: str) -> float:
    """The score that reasoning-gym's task gives an answer, from 0 to 1; some tasks give parts of 1."""
    score = float(scorer(task).score_answer(completion, {"answer": reference}))
    return score if score <= 1 else math.nextafter(1, 0)  # parts of 1 that rounding adds up to more are no right answer


@cache
def scorer(task: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(task, size=1, seed=0)
