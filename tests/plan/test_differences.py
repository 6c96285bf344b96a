"""Where recipes differ, and what a family is called."""

from pathlib import Path

import pytest

from conftest import PAGE, Project
from posttrain.files import Refusal, read_json
from posttrain.plan import frozen
from posttrain.report.differences import Apart, differences

MORE = """\
  micro-dpo-b: {extends: micro-dpo, train: {beta: 0.2, loss_type: ipo}}
  micro-sft-b: {extends: micro-sft, train: {seed: 2}}
  micro-dpo-c: {extends: micro-dpo, base: micro-sft-b}
  micro-dpo-2: {extends: micro-dpo, base: micro-dpo}
"""


@pytest.fixture
def targets(fresh, monkeypatch) -> dict[str, dict]:
    monkeypatch.chdir(fresh.root)
    fresh.add(MORE)
    return read_json(frozen.freeze_here())["targets"]


def between(targets: dict[str, dict], *names: str) -> list[Apart]:
    return list(differences(targets, [f"models/{name}" for name in names]))


def test_models_differ_in_the_fields_that_their_recipes_say_otherwise(targets):
    fields = {"train.beta": ["0.1", "0.2"], "train.loss_type": ["sigmoid, sft", "ipo"]}
    assert between(targets, "micro-dpo", "micro-dpo-b") == [Apart("models", ["micro-dpo", "micro-dpo-b"], fields)]


def test_what_their_bases_differ_in_is_said_of_the_bases(targets):
    tops, bases = between(targets, "micro-dpo", "micro-dpo-c")
    assert tops.fields == {"base": ["micro-sft", "micro-sft-b"]}
    assert (bases.names, bases.fields) == (["micro-sft", "micro-sft-b"], {"train.seed": ["1", "2"]})


def test_of_several_models_each_has_its_value(targets):
    (tops, *_) = between(targets, "micro-dpo", "micro-dpo-b", "micro-dpo-c")
    assert tops.fields["train.beta"] == ["0.1", "0.2", "0.1"]
    assert tops.fields["base"] == ["micro-sft", "micro-sft", "micro-sft-b"]


def test_what_goes_on_from_a_model_is_not_compared_with_what_that_began_with(targets):
    (tops,) = between(targets, "micro-dpo", "micro-dpo-2")
    assert tops.fields == {"base": ["micro-sft", "micro-dpo"]}


def test_fields_of_another_method_are_unset(targets):
    (tops, *_) = between(targets, "micro-sft", "micro-dpo")
    assert tops.fields["train.beta"] == ["unset", "0.1"]
    assert tops.fields["method"] == ["sft", "dpo"]


def test_equal_models_differ_in_nothing(targets):
    assert between(targets, "micro-dpo", "micro-dpo") == []


def test_a_family_is_called_as_its_page_unless_a_model_is(fresh: Project, monkeypatch):
    monkeypatch.chdir(fresh.root)
    assert families() == {"micro": ["models/micro-init", "models/micro-sft", "models/micro-dpo"]}
    fresh.edit("  micro-dpo:", "  micro:")
    assert families() == {"micro-family": ["models/micro-init", "models/micro-sft", "models/micro"]}
    fresh.path(PAGE).rename(fresh.path("config/recipes/of us.yaml"))  # which is no part of a path
    assert families() == {}


def test_two_pages_of_one_name_are_two_families_and_one_is_to_be_renamed(fresh: Project, monkeypatch):
    monkeypatch.chdir(fresh.root)
    fresh.path("lab").mkdir()
    fresh.path("lab/micro.yaml").write_text("models:\n  ours: {extends: micro-sft, train: {seed: 2}}\n")
    said = {"recipes": ["config/recipes", "lab"]}
    with pytest.raises(Refusal) as refused:
        frozen.freeze(Path(), said)
    assert str(refused.value) == (
        "lab/micro.yaml: reports/micro.html is the page of config/recipes/micro.yaml's models; rename one of the two"
    )
    fresh.path("lab/micro.yaml").rename(fresh.path("lab/lab.yaml"))
    made = read_json(frozen.freeze(Path(), said))["families"]
    assert made["lab"] == ["models/ours"]


def families() -> dict[str, list[str]]:
    return read_json(frozen.freeze_here())["families"]


def test_the_page_of_a_family_asks_for_every_model_and_what_is_measured(fresh: Project):
    fresh.path(PAGE).write_text(
        fresh.path(PAGE).read_text()
        + "evals:\n  pairs: {models: [micro-dpo], prompts: micro-rows, split: train, verifier: exact_match}\n"
    )
    made = fresh.planned("reports/micro.html")
    assert {"models/micro-init", "models/micro-sft", "models/micro-dpo", "evals/micro-dpo/pairs"} <= set(made)
    assert "reports/micro.html" in fresh.refused("-n", "reports/micr.html")
