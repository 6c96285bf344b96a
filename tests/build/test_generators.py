"""Rows that are made: distinct, the same each time, and right by the task that they are of."""

from itertools import islice

import pytest

from posttrain.data import generators
from posttrain.files import Refusal
from posttrain.score.verifiers.reasoning import reasoning_gym

SUMS = {"task": "chain_sum", "seed": 1, "config": {"max_terms": 2, "max_digits": 2}}


def take(count: int, **args: object) -> list[tuple[str, str]]:
    """Questions and answers."""
    rows = islice(generators.reasoning_gym(**args), count)
    return [tuple(turn["content"] for turn in row["messages"]) for row in rows]


def test_questions_of_a_task_are_distinct_and_the_same_each_time() -> None:
    made = take(300, **SUMS)
    assert len({question for question, _ in made}) == 300
    assert made == take(300, **SUMS) != take(300, **SUMS | {"seed": 2})
    assert {len(question.split(": ")[1].split()) for question, _ in made} == {4}, "a sum of two terms: 5 + 17 ="


@pytest.mark.parametrize("task", ["chain_sum", "gcd", "letter_counting", "syllogism", "word_sequence_reversal"])
def test_an_answer_is_right_by_its_task(task: str) -> None:
    assert [reasoning_gym(answer, answer, task) for _, answer in take(5, task=task)] == [1] * 5


@pytest.mark.parametrize("config", [{"max_term": 2}, {"min_terms": 3, "max_terms": 2}, {"min_terms": "a"}])
def test_what_a_task_cannot_be_told_is_refused(config: dict) -> None:
    with pytest.raises(Refusal, match="reasoning_gym's chain_sum takes no {.*}: "):
        take(1, task="chain_sum", config=config)
