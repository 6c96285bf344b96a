"""Evaluations by a judge, as they are planned: whose answers are made for whom, and what an edit costs."""

import re

import pytest

from conftest import PAGE, ROOT, Project
from posttrain.build import gpus, launch
from posttrain.files import Refusal
from posttrain.plan import frozen
from posttrain.plan.opened import Plan
from posttrain.recipes import evaluations

EVALS = """\
evals:
  duel:
    models: [micro-dpo, micro-init]
    against: micro-sft
    prompts: micro-rows
    split: train
    judge: lab/judge
    rubric: better
    runtime: {shards: 2}
  other-duel:
    models: [micro-sft]
    against: micro-dpo
    prompts: micro-rows
    split: train
    judge: lab/other
    rubric: better
  talk:
    models: [micro-sft]
    prompts: micro-rows
    split: train
    judge: lab/judge
    rubric: helpful
"""
DUEL, OTHER, TALK = "evals/micro-dpo/duel", "evals/micro-sft/other-duel", "evals/micro-sft/talk"


@pytest.fixture
def judged(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(fresh.root)
    fresh.add(EVALS)
    return fresh


def targets() -> dict[str, dict]:
    return frozen.read_json(frozen.freeze_here())["targets"]


def changed(before: dict[str, dict]) -> set[str]:
    """The kinds of targets whose intent is another than it was."""
    known = {target["intent"] for target in before.values()}
    return {path.split("/")[0] for path, target in targets().items() if target["intent"] not in known}


def test_answers_are_made_once_for_all_that_are_compared_and_for_every_judge(judged):
    plan = targets()
    answers = {path: (target["inputs"]["answers"], target["inputs"].get("against"))
               for path, target in plan.items() if path.startswith("evals/")}  # fmt: skip
    assert answers[DUEL][1] == answers["evals/micro-init/duel"][1] == answers[OTHER][0]
    assert answers[DUEL][0] == answers[OTHER][1]
    assert answers[TALK][0] not in {made for both in (answers[DUEL], answers[OTHER]) for made in both}, "turn by turn"
    assert len([path for path in plan if path.startswith("answers/")]) == 4
    assert {plan[path]["rule"] for path in plan if path.startswith("answers/")} == {"gather_answers"}


def test_the_judges_job_opens_the_judge_and_shards_what_the_answers_are_of(judged):
    plan = targets()
    assert plan[DUEL]["inputs"]["judge"] == "hub/models--lab--judge"
    assert "shards" not in plan[DUEL]["runtime"]
    shards = [made for role, made in plan[plan[DUEL]["inputs"]["answers"]]["inputs"].items() if "shard" in role]
    assert len(shards) == 2 and all(plan[made]["stage"] == "sample_shard" for made in shards)
    assert plan[plan[TALK]["inputs"]["answers"]]["own"]["conversation"] == {"every_turn": True}
    assert "conversation" not in plan[plan[DUEL]["inputs"]["answers"]]["own"]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("shards: 2", "shards: 3, hours: 5, mem_gb: 9", {"shards"}),
        ("rubric: better", "rubric: better\n    judging: {max_new_tokens: 9}", {"evals"}),
        ("judge: lab/judge", "judge: lab/another", {"evals", "hub"}),
        ("rubric: better", "rubric: better\n    sampling: {max_new_tokens: 9}", {"evals", "answers", "shards"}),
        ("rubric: helpful", "rubric: helpful\n    highest: 5", {"evals"}),
    ],
)
def test_an_edit_costs_what_hangs_on_it(judged, old, new, kinds):
    before = targets()
    judged.edit(old, new)
    assert changed(before) == kinds


def test_a_rubrics_text_is_part_of_what_is_measured(judged):
    before = targets()
    rubric = judged.path("config/judges/better.jinja")
    rubric.write_text(rubric.read_text() + "Be kind.\n")
    assert changed(before) == {"evals"}


def test_the_judge_and_the_answers_run_where_their_own_engine_is(judged):
    judged.edit("rubric: better\n    runtime", "rubric: better\n    sampling: {engine: vllm}\n    runtime")
    plan = targets()
    assert plan[DUEL]["environment"] == "train"
    assert plan[plan[DUEL]["inputs"]["answers"]]["environment"] == "sample-cpu"
    judged.edit("rubric: helpful", "rubric: helpful\n    judging: {engine: vllm}\n    runtime: {gpus: 1}")
    plan = targets()
    assert (plan[TALK]["environment"], plan[plan[TALK]["inputs"]["answers"]]["environment"]) == ("sample", "train")


def test_a_judges_gpus_are_not_those_of_the_answers(judged):
    before = targets()
    judged.edit("rubric: helpful", "rubric: helpful\n    judging: {engine: vllm}")
    asks = targets()
    own = "runtime: {shards: 2, judge: {gpus: 2, hours: 3}}"
    judged.edit("judging: {engine: vllm}", f"judging: {{engine: vllm}}\n    {own}")
    plan = targets()
    assert plan[TALK]["environment"] == "sample"
    assert plan[TALK]["runtime"].items() >= {"gpus": 2, "hours": 3}.items()
    answers = plan[TALK]["inputs"]["answers"]
    assert answers == before[TALK]["inputs"]["answers"]
    made = [plan[made] for role, made in plan[answers]["inputs"].items() if role.startswith("shard.")]
    assert [(shard["environment"], shard["runtime"]["gpus"]) for shard in made] == [("train", 0)] * 2
    assert plan[TALK]["intent"] == asks[TALK]["intent"], "where is no part of what"


def test_a_site_says_a_judges_gpus_in_a_pattern_of_all_suites(judged):
    judged.add("  right: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match}\n")
    judged.add("  known: {models: [micro-sft], text: micro-rows, split: train}\n")
    judged.edit("rubric: helpful", "rubric: helpful\n    judging: {engine: vllm}\n    runtime: {judge: {gpus: 4}}")
    judged.path("config/site.yaml").write_text('runtime: {"evals/*": {shards: 3, judge: {gpus: 2}}}\n')
    plan = targets()
    assert plan[TALK]["runtime"]["gpus"] == 2
    assert {path.rpartition("of")[2] for path in plan if path.startswith("shards/micro-sft/")} == {"3"}
    assert plan["evals/micro-sft/known"]["refusal"] == ""


def test_too_many_gpus_are_a_judges_own_where_they_are(judged):
    own = "runtime: {judge: {gpus: 2}}"
    judged.edit("rubric: helpful", f"rubric: helpful\n    judging: {{engine: vllm}}\n    {own}")
    for said, key in ((own, "runtime.judge"), ("runtime: {gpus: 2}\n    sampling: {engine: vllm}", "runtime")):
        judged.edit(own, said)
        plan = Plan(frozen.freeze_here(), main=True, gpus=1)
        with pytest.raises(Refusal, match=rf"{TALK}: {key}\.gpus: 2 are asked for, and there are 1 "):
            plan.refuse_too_many_gpus(TALK)
        with pytest.raises(Refusal, match=rf"^{key}\.gpus: 2 are asked for, and this machine has 0"):
            gpus.check(plan.targets[TALK]["runtime"])
        assert f"say more gpus under {key}, or" in launch.too_large(plan.targets[TALK])


def test_what_the_guide_shows_is_planned(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    fresh.path("config/examples").mkdir(exist_ok=True)
    guide, _, _ = (ROOT / "docs/evaluation.md").read_text().partition("## Benchmarks by lm-eval")
    shown = re.findall(r"```yaml\n(.*?)```", guide, re.S)
    for number, page in enumerate(shown):
        fresh.path(f"config/recipes/{number}.yaml").write_text(page)
    page = fresh.path(PAGE)
    page.write_text(page.read_text().replace("micro-", "my-").replace("my-rows", "my-sums"))
    fresh.edit("{path: rows.jsonl}\n", "{path: rows.jsonl}\n    test: [{path: held-rows.jsonl}]\n")
    fresh.edit("{path: pairs.jsonl}\n", "{path: pairs.jsonl}\n    test: [{path: held-pairs.jsonl}]\n")
    planned = {path.rsplit("/", 1)[1] for path in targets() if path.startswith("evals/")}
    assert planned == {"my-sums", "held-out-pairs", "my-ratings", "my-duels"}


def test_the_guide_names_every_kind_of_evaluation():
    guide = (ROOT / "docs/evaluation.md").read_text()
    assert [field for field in evaluations.KINDS if f"`{field}`" not in guide] == []
