"""What models share: tokens and references are named by what they are, so equal ones are one."""

import pytest
from test_identity import say
from test_plan import plan_of

from conftest import DPO, PAGE, Project

SCAN = "  micro-scan:\n    extends: micro-dpo\n    scan: {loss_type: [sigmoid, ipo, hinge], beta: [0.1, 0.2]}\n"
KTO = """\
  micro-kto:
    method: kto
    base: micro-sft
    preferences: micro-pairs
    train: {learning_rate: 1e-3, batch_size: 8, max_length: 48, bf16: false, seed: 1}
    runtime: {logging_steps: 1}
"""


def references(targets: dict[str, dict]) -> set[str]:
    return {target["inputs"]["reference"] for target in targets.values() if "reference" in target["inputs"]}


def test_a_scan_of_losses_and_betas_needs_one_reference_of_its_pairs_and_one_of_its_answers(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.path(PAGE).open("a").write(SCAN + KTO)
    monkeypatch.chdir(fresh.root)
    made = references(plan_of(fresh))
    assert len(made) == 2
    fresh.edit("beta: [0.1, 0.2]", "beta: [0.3, 0.4], seed: [1, 2]")
    assert references(plan_of(fresh)) == made, "neither loss nor beta nor seed is part of what a base thinks"


@pytest.mark.parametrize(
    ("field", "value", "another"),
    [("bf16", "true", True), ("max_length", "40", True), ("ld_alpha", "0.5", True), ("beta", "0.3", False)],
)
def test_a_reference_is_of_the_precision_the_tokens_and_the_share_of_a_longer_answer(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, field: str, value: str, another: bool
) -> None:
    monkeypatch.chdir(fresh.root)
    before = references(plan_of(fresh))
    say(fresh, DPO, "train", field, value)
    assert (references(plan_of(fresh)) != before) == another
