"""Conversations as a recipe says them: what they are made of, what an edit of a constitution costs, what ships."""

import re
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Project
from posttrain.plan import frozen
from posttrain.recipes import identity
from posttrain.recipes.conversations import CRITIQUE_AND_REVISION, Conversation, resolved, why_not
from posttrain.recipes.sampling import Completions
from posttrain.recipes.sources import Data
from posttrain.recipes.template import filled

FOLDER = ROOT / "config/constitutions"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAGE = """\
completions:
  tries: {model: micro-sft, prompts: micro-rows}
  talks:
    model: micro-sft
    prompts: micro-rows
    conversation: {constitution: grok}
"""
TALKS, TRIES = "completions/talks", "completions/tries"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_constitution_can_be_asked(name):
    made = resolved(Conversation(constitution=name), [FOLDER])
    assert [why_not(made, i) for i in range(2)] == [None, None]
    asked = [
        filled(text, messages=[], answers=[], choice=choice)
        for choice in made["choices"]
        for text in CRITIQUE_AND_REVISION
    ]
    assert len(set(asked)) == len(asked), "a principle says what another says"
    assert [turn["role"] for turn in made["few_shot"]] == ["user", "assistant"] * (len(made["few_shot"]) // 2)


def test_the_shipped_constitutions_are_those_of_the_recipe():
    assert SHIPPED == ["anthropic", "grok"]
    assert len(resolved(Conversation(constitution="anthropic"), [FOLDER])["choices"]) >= 16


def test_a_recipes_own_follow_ups_read_a_constitutions_principles():
    own = ["Revise. {{ choice.revision }}"]
    made = resolved(Conversation(constitution="grok", follow_ups=own), [FOLDER])
    assert made["follow_ups"] == own
    assert why_not(made, 0) is None


def test_a_follow_up_is_no_template_of_what_it_quotes():
    """An answer or a principle that looks like one is quoted as it stands."""
    said = filled("{{ answers[-1] }} {{ choice.why }}", answers=["{{ 7 * 7 }}"], choice={"why": "{% raw %}"})
    assert said == "{{ 7 * 7 }} {% raw %}"


@pytest.fixture
def talks(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(fresh.root)
    fresh.path("config/recipes/talks.yaml").write_text(PAGE)
    return fresh


def targets() -> dict[str, dict]:
    return frozen.read_json(frozen.freeze_here())["targets"]


def test_an_edit_of_a_constitution_rebuilds_what_was_asked_by_it_and_a_comment_nothing(talks):
    before = targets()
    constitution = Path("config/constitutions/grok.yaml")
    constitution.write_text("# Wry.\n" + constitution.read_text())
    assert {path: made["intent"] for path, made in targets().items()} == {
        path: made["intent"] for path, made in before.items()
    }
    constitution.write_text(re.sub(r"- critique: .*", "- critique: What is dull?", constitution.read_text(), count=1))
    after = targets()
    changed = {path for path, made in after.items() if made["intent"] != before[path]["intent"]}
    assert changed == {TALKS, "shards/talks.1of1"}


def test_the_job_is_given_the_constitution_that_was_planned(talks):
    said = yaml.safe_load(Path("config/constitutions/grok.yaml").read_text())
    plan = targets()
    for path in (TALKS, "shards/talks.1of1"):
        assert plan[path]["own"]["conversation"]["choices"] == said["principles"]
    assert "conversation" not in plan[TRIES]["own"]


def test_what_was_sampled_before_there_were_conversations_is_what_it_was():
    recipe = Completions(model="m", prompts="p").model_dump(include={"split", "sampling", "conversation"})
    later = ("stop", "engine")
    old = recipe | {"sampling": {name: value for name, value in recipe["sampling"].items() if name not in later}}
    del old["conversation"]
    for stage in ("sample_shard", "gather_completions"):
        assert identity.what_it_is(stage, recipe) == identity.what_it_is(stage, old)


def test_what_was_mixed_before_there_were_dialogues_is_what_it_was():
    recipe = Data(sources=[{"path": "a.jsonl"}], test=[{"path": "b.jsonl"}]).model_dump(include={"sources", "test"})
    old = {
        part: [{k: v for k, v in source.items() if k not in ("format", "exchanges")} for source in recipe[part]]
        for part in ("sources", "test")
    }
    assert identity.what_it_is("mix_data", recipe) == identity.what_it_is("mix_data", old)
    recipe["sources"][0]["format"] = "hh_rlhf"
    assert identity.what_it_is("mix_data", recipe) != identity.what_it_is("mix_data", old)


def test_what_the_guide_shows_is_planned(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    guide = (ROOT / "docs/constitutional-ai.md").read_text()
    shown = re.findall(r"```yaml\n(.*?)```", guide, re.S)
    questions = "data: {my-questions: {sources: [{path: rows.jsonl}]}}\n"
    model = (ROOT / "config/recipes/smollm2-wheel.yaml").read_text()
    for number, page in enumerate([*shown, questions, model]):
        fresh.path(f"config/recipes/{number}.yaml").write_text(page)
    plan = targets()
    stages = {"my-talks": "gather_completions", "my-revisions": "select_answers", "my-pairs": "select_revisions"}
    assert {path.split("/")[1]: made["stage"] for path, made in plan.items() if "/my-" in path} == {
        **stages,
        "my-questions": "mix_data",
        "my-talks.1of1": "sample_shard",
    }
