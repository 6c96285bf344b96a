"""What a run record says of all that led to a target, where nothing need be built to tell."""

from pathlib import Path

import pytest

from posttrain.build import ancestry
from posttrain.files import read_json, write_json

FIRST, OTHER, SECOND, THIRD = (f"data/{name}" for name in ("first", "other", "second", "third"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no artifact yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()


def target(*inputs: str, skip: int = 0) -> dict:
    """One of a plan."""
    own = {"version": 1, "skip": skip}
    roles = {f"part.{number}": path for number, path in enumerate(inputs)}
    rest = {"files": {}, "texts": [], "unlocked": [], "environment": "train", "runtime": {"threads": 1}}
    return {"stage": "mix_data", "own": own, "identity": own, "inputs": roles} | rest


def manifest(path: str, targets: dict[str, dict]) -> dict:
    """That of a target made of what stands, as its build begins."""
    content = f"{path}, skip {targets[path]['own']['skip']}"
    read = {role: read_json(f"{made}.json")["content"] for role, made in targets[path]["inputs"].items()}
    return {"key": f"key of {content}", "inputs": read, "content": content, "files": {"rows": content}}


def link(path: str, targets: dict[str, dict], recorded: bool = True) -> dict[str, dict]:
    """Have a target stand as made; its lineage."""
    made = manifest(path, targets)
    lineage = ancestry.lineage(targets, path, made, {"launch": {"threads": 2}})
    write_json(f"{path}.run.json", {"lineage": lineage} if recorded else {})
    write_json(f"{path}.json", made)
    return lineage


def test_an_input_made_otherwise_while_a_target_is_made_of_it_is_not_said_to_have_led_to_it():
    targets = {FIRST: target(skip=1), SECOND: target(FIRST)}
    link(FIRST, targets)
    made = manifest(SECOND, targets)
    known = ancestry.lineage(targets, SECOND, made, {})
    assert known[FIRST]["manifest"]["files"] == {"rows": f"{FIRST}, skip 1"}
    link(FIRST, {FIRST: target(skip=2)})
    lineage = ancestry.lineage(targets, SECOND, made, {})
    assert lineage[FIRST]["manifest"] == {}
    assert lineage[FIRST]["target"]["own"]["skip"] == 1, "the plan knows what was read"


def test_what_led_to_an_input_without_a_record_is_looked_at_once_by_however_many_ways_it_did():
    names = [f"data/{number}" for number in range(60)]
    targets = {name: target(*[below] * 2) for below, name in zip(names, names[1:], strict=False)}
    targets |= {names[0]: target(), SECOND: target(names[-1])}
    write_json(f"{names[-1]}.json", {"content": "rows"})
    assert [*link(SECOND, targets)] == [*names, SECOND]


@pytest.mark.parametrize("roles", [(SECOND, OTHER), (OTHER, SECOND)])
@pytest.mark.parametrize("skip", [1, 2])
def test_a_stage_without_a_record_is_one_with_a_record_only_if_it_was_to_be_made_alike(roles, skip):
    """Of two inputs that were made of the first, one has a record, in which that skips a row."""
    targets = {FIRST: target(skip=1), SECOND: target(FIRST), OTHER: target(FIRST), THIRD: target(*roles)}
    link(FIRST, targets)
    link(SECOND, targets)
    link(OTHER, targets, recorded=False)
    lineage = link(THIRD, targets | {FIRST: target(skip=skip)})
    led = [lineage[lineage[path]["target"]["inputs"]["part.0"]] for path in (SECOND, OTHER)]
    assert [stage["target"]["own"]["skip"] for stage in led] == [1, skip]
    assert ["files" in stage["manifest"] for stage in led] == [True, skip == 1]
    assert len(lineage) == (4 if skip == 1 else 5)
