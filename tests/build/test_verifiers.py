"""Verifiers: they know the right answer, take any text for one, and never run what a model says."""

import sys
from collections.abc import Iterator

import pytest
import reasoning_gym

from posttrain.score import verifiers

ANSWERS = [
    "",
    " ",
    "no",
    "1+1",
    "x**2",
    "[1, 2]",
    "{'a': [",
    "1e999",
    "9" * 400,
    "-3",
    "\U0001f600",
    "__import__('os')",
]
compiled: list[object] = []
sys.addaudithook(lambda event, of: compiled.append(of) if event in ("compile", "exec") else None)


@pytest.fixture
def run() -> Iterator[list]:
    """What was compiled or executed in the test."""
    compiled.clear()
    yield compiled


def test_verifiers_know_the_right_answer():
    assert verifiers.exact_match(" tac\n", "tac") == 1
    assert verifiers.exact_match("tca", "tac") == 0
    assert verifiers.reasoning_gym("tac", "tac", task="spell_backward") == 1
    assert 0 < verifiers.reasoning_gym("tca", "tac", task="spell_backward") < 1


@pytest.mark.parametrize("task", verifiers.TASKS)
def test_a_task_scores_any_text_and_runs_none(task, run):
    made = reasoning_gym.create_dataset(task, size=8, seed=3)
    rights = [row["answer"] for row in made]
    assert [verifiers.reasoning_gym(right, right, task=task) for right in rights] == [1] * len(rights)
    run.clear()
    scores = [verifiers.reasoning_gym(answer, right, task=task) for answer in ANSWERS for right in rights]
    assert all(0 <= score <= 1 for score in scores)
    assert run == []


def test_a_task_that_runs_what_it_is_told_is_none_of_them(run):
    """The test above can fail."""
    task, entry = verifiers.scorer("puzzle24"), {"answer": "24", "metadata": {"numbers": [1, 1]}}
    task.score_answer("1+1", entry)
    run.clear()  # of what was imported
    task.score_answer("1+1", entry)
    assert run
    assert "puzzle24" not in verifiers.TASKS
