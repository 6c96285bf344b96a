"""Rows that are made, not read: endless streams, equal for equal arguments."""

import random
from collections.abc import Iterator
from typing import Any

from posttrain.data.tasks import wrong_task
from posttrain.data.turns import turn
from posttrain.files import Refusal

# reasoning-gym draws an item from its index; this many hold every word of the list many times over.
DRAWS = 1_000_000
NONE: dict[str, Any] = {}


def words(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """Plain text: the words of spell_backward, in its order, so that equal slices hold equal words."""
    for word, _ in spelled(seed, min_word_len, max_word_len):
        yield {"text": word}


def spell_backward(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """Spell a word backward (reasoning-gym's task of that name): distinct words, in a drawn order."""
    for word, answer in spelled(seed, min_word_len, max_word_len):
        yield {"messages": [turn("user", word), turn("assistant", answer)]}


def spell_backward_pairs(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """The right spelling against a near miss: two neighbouring letters swapped, or one left out or doubled."""
    for word, answer in spelled(seed, min_word_len, max_word_len):
        draw = random.Random(f"{seed} {word}")
        rejected = near_miss(answer, draw)
        yield {
            "prompt": [turn("user", word)],
            "chosen": [turn("assistant", answer)],
            "rejected": [turn("assistant", rejected)],
        }


def reasoning_gym(task: str, seed: int = 0, config: dict = NONE) -> Iterator[dict]:
    """Questions of a task of reasoning-gym with their right answers: distinct ones, in a drawn order.

    Args:
        config: what the task's own configuration takes: the sizes of numbers, say.
    """
    for item in drawn(task, seed, config):
        yield {"messages": [turn("user", item["question"]), turn("assistant", str(item["answer"]))]}


# What a source's `generator:` may name, and what finds the argument that is wrong.
KNOWN = {made.__name__: made for made in (words, spell_backward, spell_backward_pairs, reasoning_gym)}
CHECKS = {"reasoning_gym": wrong_task}


def drawn(task: str, seed: int, config: dict) -> Iterator[dict]:
    """The items of a task, each question once. Raises: Refusal, if it takes no such configuration."""
    from reasoning_gym import create_dataset

    try:
        items = create_dataset(task, size=DRAWS, seed=seed, **config)
    except (AssertionError, TypeError, ValueError) as error:
        raise Refusal(f"reasoning_gym's {task} takes no {config}: {error}") from None
    seen = set()
    for item in items:
        if item["question"] not in seen:
            seen.add(item["question"])
            yield item


def spelled(seed: int, min_word_len: int, max_word_len: int) -> Iterator[tuple[str, str]]:
    for item in drawn("spell_backward", seed, {"min_word_len": min_word_len, "max_word_len": max_word_len}):
        yield item["metadata"]["word"], item["answer"]


def near_miss(answer: str, draw: random.Random) -> str:
    """The answer with one slip; never the answer itself."""
    swaps = [i for i in range(len(answer) - 1) if answer[i] != answer[i + 1]]
    slips = ["drop", "double", *(["swap"] * 2 if swaps else [])]
    slip = draw.choice(slips)
    i = draw.choice(swaps) if slip == "swap" else draw.randrange(len(answer))
    if slip == "swap":
        return answer[:i] + answer[i + 1] + answer[i] + answer[i + 2 :]
    return answer[:i] + answer[i + 1 :] if slip == "drop" else answer[: i + 1] + answer[i:]
