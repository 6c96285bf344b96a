"""Verifiers: they know the right answer, take any text for one, end in time, and never run what a model says."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import reasoning_gym
from hypothesis import given
from hypothesis import strategies as st

from posttrain.build.job import Job
from posttrain.data.tasks import TASKS
from posttrain.files import Refusal
from posttrain.score import verifiers
from posttrain.score.limits import Failure, Limited
from posttrain.score.verifiers import reasoning
from posttrain.score.verifiers.answers import exact_match, last_number, math_verify, number_match, regex
from posttrain.score.verifiers.constraints import CONSTRAINTS, constraints, row_constraints
from posttrain.score.verifying import verified

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
    assert exact_match(" tac\n", "tac") == 1
    assert exact_match("tca", "tac") == 0
    assert reasoning.reasoning_gym("tac", "tac", task="spell_backward") == 1
    assert 0 < reasoning.reasoning_gym("tca", "tac", task="spell_backward") < 1


@pytest.mark.parametrize("task", TASKS)
def test_a_task_scores_any_text_and_runs_none(task, run):
    made = reasoning_gym.create_dataset(task, size=8, seed=3)
    rights = [row["answer"] for row in made]
    assert [reasoning.reasoning_gym(right, right, task=task) for right in rights] == [1] * len(rights)
    run.clear()
    scores = [reasoning.reasoning_gym(answer, right, task=task) for answer in ANSWERS for right in rights]
    assert all(0 <= score <= 1 for score in scores)
    assert run == []


def test_a_task_that_runs_what_it_is_told_is_none_of_them(run):
    """The test above can fail."""
    task, entry = reasoning.scorer("puzzle24"), {"answer": "24", "metadata": {"numbers": [1, 1]}}
    task.score_answer("1+1", entry)
    run.clear()  # of what was imported
    task.score_answer("1+1", entry)
    assert run
    assert "puzzle24" not in TASKS


# Numbers, mathematics, patterns, constraints


@pytest.mark.parametrize(
    ("completion", "reference"),
    [
        ("It costs $1,000.50.", "1000.5"),
        ("first 3, then 4", "#### 4"),
        ("50%", "50"),
        ("1/2", "0.5"),
        ("-$5", "-5"),
        ("9-3 is 10-4, so 6", "6"),
        ("x-3", "3"),
        ("the range 10-12", "12"),
        ("= −3", "-3"),
        ("- 5 apples", "5"),
        ("1,2", "2"),
        ("1.5e3", "1500"),
        ("on 12/25/2024", "2024"),
        ("US$7", "7"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_number_is_one_however_it_is_written(completion, reference):
    assert number_match(completion, reference) == 1
    assert number_match(f"{completion} or 8191", reference) == 0


def test_what_has_no_number_matches_none():
    assert number_match("none", "4") == number_match("1/0", "1") == 0
    with pytest.raises(ValueError, match="the reference has no number"):
        number_match("4", "four")


@given(st.text(st.sampled_from("0123456789.,/$%eE+- x−"), max_size=60))
def test_any_text_has_a_last_number_or_none(text):
    found = last_number(text)
    assert found is None or any(letter.isdigit() for letter in text)


def test_answers_are_equal_as_mathematics(run):
    for completion, reference in [
        (r"so it is $\frac{1}{2}$", "0.5"),
        (r"\boxed{x^2+1}", "$1+x^2$"),
        ("1/2 + 1/4", "3/4"),
        ("$1,000$", "1000"),
    ]:
        assert math_verify(completion, reference) == 1, completion
    run.clear()
    assert [math_verify(answer, "2") for answer in ANSWERS] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    words = {word for (said, *_) in run if isinstance(said, bytes) for word in re.findall(rb"[A-Za-z_]+", said)}
    assert words <= {b"from", b"sympy", b"import", b"Integer", b"Float"}, "sympy is given numbers and signs alone"
    with pytest.raises(ValueError, match="nothing to compare with"):
        math_verify("2", "no number")


def test_a_pattern_is_found_or_not():
    assert regex("Answer: 12", None, pattern=r"(?i)answer:\s*\d+$") == 1
    assert regex("Answer: x", None, pattern=r"(?i)answer:\s*\d+$") == 0


HOLDS = [
    ("min_words", 3, "one two three", "one two"),
    ("max_words", 2, "one two", "one two three"),
    ("required_words", ["Cat", "a dog"], "the cat, a dog", "the cats, a dog"),
    ("forbidden_words", ["bad"], "badly", "BAD."),
    ("bullets", 2, "two:\n- a\n  * b", "- a"),
    ("paragraphs", 2, "a\nb\n \nc\n\n", "a\nb"),
    ("ends_with", "Thanks.", "a. Thanks. \n", "Thanks. a"),
    ("lower_case", True, "a b", "a B"),
    ("lower_case", False, "a B", "a b"),
    ("valid_json", True, '```json\n{"a": 1}\n```', "{'a': 1}"),
    ("valid_json", False, "[" * 100_000, "[]"),
]


@pytest.mark.parametrize(("name", "value", "yes", "no"), HOLDS, ids=[f"{name} {value}" for name, value, *_ in HOLDS])
def test_a_constraint_holds_or_not(name, value, yes, no):
    assert constraints(yes, None, hold={name: value}) == 1
    assert constraints(no, None, hold={name: value}) == 0


def test_every_constraint_is_tested():
    assert {name for name, *_ in HOLDS} == set(CONSTRAINTS)


def test_constraints_are_worth_the_share_that_holds_and_may_be_a_rows_own():
    assert constraints("one two", None, hold={"min_words": 1, "max_words": 1}) == 0.5
    assert row_constraints("one two", '{"min_words": 1}', hold={"max_words": 1, "lower_case": True}) == 2 / 3
    for broken in ("[]", "{}", '{"min_wrds": 1}', '{"min_words": "1"}'):
        with pytest.raises(ValueError, match="the reference"):
            row_constraints("one", broken)


# Time limits and failures


def test_a_call_that_takes_too_long_is_ended_and_the_next_is_answered():
    began = time.monotonic()
    verify = Limited(lambda: partial(regex, reference=None, pattern=r"(a+)+$"), 0.5)
    with pytest.raises(Failure, match=r"takes more than 0.5 s"):
        verify(completion="a" * 40 + "b")
    assert verify(completion="aaa") == 1
    assert time.monotonic() - began < 10


AFRESH = """\
from posttrain.score.limits import Failure
from posttrain.score.verifying import opened

check = opened('{"verifier": "math_verify", "args": {}, "time_limit": 1, "file": ""}')
for said in ("$1/2$", "$9^{9^{9^9}}$", "$1/2$"):
    try:
        print(check(completion=said, reference="0.5", prompt=[]))
    except Failure as failure:
        print(failure)
"""


def test_a_power_that_no_signal_ends_is_ended_and_what_is_imported_costs_no_call_its_time():
    """In a process that has imported nothing yet: the import takes longer than the limit."""
    made = subprocess.run([sys.executable, "-c", AFRESH], capture_output=True, text=True, check=True)
    assert made.stdout.splitlines() == ["1.0", "takes more than 1 s", "1.0"]


OWN = """\
import os
import time


def check(completion: str, reference: str | None, prompt: list, scale: float = 1.0) -> float:
    if completion == "ends":
        os._exit(1)
    if completion == "sleeps":
        time.sleep(60)
    if completion == "nothing":
        return None
    return scale / int(completion) + len(prompt)


def compare(completion, reference: str) -> float:
    return completion == reference
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "check.py").write_text(OWN)
    return tmp_path / "check.py"


def verify(own: Path, *said: str, function: str = "check", processes: int = 1, **recipe: object) -> list[dict]:
    recipe = {"verifier": {"function": function}, "args": {}, "time_limit": 1, "on_error": "refuse"} | recipe
    row = {"prompt_id": 3, "reference": None, "prompt": [{"role": "user", "content": "a"}]}
    texts = {"verifier": own.read_text()}
    job = Job("scores/x", recipe, {}, {}, texts, {"processes": processes}, own.parent, identity={"file": str(own)})
    return verified(job, [row | {"sample": i, "completion": one} for i, one in enumerate(said)])


def test_a_persons_own_function_gives_scores(own):
    assert verify(own, "2", "4", args={"scale": 2}) == [{"score": 2, "why": None}, {"score": 1.5, "why": None}]


def test_a_function_is_the_plans_text_whatever_becomes_of_its_file(own):
    """After a kill too, when it is opened anew."""
    own.write_text(OWN.replace("os._exit(1)", "os.truncate(__file__, 0)") + f"\n\n__file__ = {str(own)!r}\n")
    made = verify(own, "ends", "sleeps", "2", on_error="drop")
    assert own.read_text() == "" and [row["score"] for row in made] == [None, None, 1.5]


FAILURES = {
    "0": "FILE:12: ZeroDivisionError: float division by zero",
    "a": "FILE:12: ValueError: invalid literal for int() with base 10: 'a'",
    "ends": "ends its process",
    "sleeps": "takes more than 1 s",
    "nothing": "gives no number: None",
}


@pytest.mark.parametrize("completion", FAILURES)
def test_a_function_that_fails_is_named_with_its_line_and_the_row(own, completion):
    with pytest.raises(Refusal) as refused:
        verify(own, "1", completion)
    said = FAILURES[completion].replace("FILE", str(own))
    mend = "mend it, or say `on_error: drop` to leave such completions unscored"
    assert str(refused.value) == f"prompt 3, sample 1: the verifier fails: {said}; {mend}"


def test_a_function_that_fails_costs_its_row_alone_if_the_recipe_says_so(own):
    made = verify(own, "0", "ends", "1", on_error="drop")
    assert [row["score"] for row in made] == [None, None, 2]
    assert made[0]["why"] == f"the verifier fails: {own}:12: ZeroDivisionError"
    assert made[1]["why"] == "the verifier fails: ends its process"


def test_an_evaluation_bears_what_ends_no_more_and_refuses_a_function_that_is_wrong(own):
    made = verify(own, "ends", "sleeps", "1", on_error=None)
    assert [row["score"] for row in made] == [None, None, 2]
    shutil.rmtree(own.parent / "kept")
    with pytest.raises(Refusal, match=r"sample 0: the verifier fails: .*:12: ZeroDivisionError: [a-z ]+$"):
        verify(own, "0", on_error=None)


def test_a_file_that_cannot_be_run_is_refused_whatever_the_recipe_says(own):
    own.write_text("import nowhere\n")
    with pytest.raises(Refusal, match=r"the verifier cannot be opened: .*check.py:1: ModuleNotFoundError: No module"):
        verify(own, "1", on_error="drop")


def test_a_prompt_without_an_answer_has_none_to_compare_with(own):
    with pytest.raises(Refusal, match="prompt 3, sample 0: .* its prompt has no answer in its data set"):
        verify(own, "1", function="compare")


def test_every_verifier_takes_what_is_given_and_no_more():
    for known in verifiers.KNOWN.values():
        assert list(known.__annotations__)[:2] == ["completion", "reference"]
