"""What a model is on the hub, as far as the plan knows: its bases, its licence, and why it is not published."""

from pathlib import Path

import pytest

from conftest import DPO, PAGE, SFT, Project
from hub import COMMIT
from posttrain import cli
from posttrain.files import Refusal, file_digest
from posttrain.plan import opened, publishing

HUB = """\
data:
  rows: {sources: [{hub: lab/rows}]}
preferences:
  pairs: {sources: [{path: pairs.jsonl}]}
models:
  one: {method: sft, base: lab/tiny, data: rows, train: {learning_rate: 1e-2, batch_size: 8, keep_checkpoints: 2, max_steps: 4}}
  lora: {extends: one, base: one, peft: {r: 2}, train: {keep_checkpoints: 0}}
  more: {extends: lora, base: lora}
  whole: {method: merge, base: more}
  soup: {method: soup, base: one}
  mean: {method: linear, models: {soup: 0.5, lab/other: 0.5}}
published:
  one: {repo: me/one, license: mit}
"""  # noqa: E501
LOCK = f"models: {{lab/tiny: {COMMIT}, lab/other: {COMMIT}}}\ndatasets: {{lab/rows: {COMMIT}}}\n"
BASE = """
lab/{name}:
  licence: {licence}
  config: {{model_type: llama}}
  tokenizer: {{bos_token: null, eos_token: a, pad_token: null, unk_token: null, add_bos_token: false, chat_tokens: []}}
  parameters: 1000
  source: here
"""


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout whose models begin as those of a hub, locked, of two licences."""
    monkeypatch.chdir(fresh.root)
    fresh.path(PAGE).write_text(HUB)
    fresh.path("config/lock.yaml").write_text(LOCK)
    licensed(fresh, tiny="gemma", other="mit")
    return fresh


def licensed(project: Project, **licences: str) -> None:
    text = "".join(BASE.format(name=name, licence=licence) for name, licence in licences.items())
    project.path("config/bases.yaml").write_text(text)


def plan() -> opened.Plan:
    """The plan of the checkout that we stand in."""
    return opened.open_here()


def refusal(name: str) -> str:
    return plan().published[name]["refusal"]


def test_where_a_model_is_published_is_no_part_of_what_it_is(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    before = plan().targets
    fresh.add("published: {micro-dpo: {repo: me/dpo, license: mit}}\n")
    assert plan().targets == before


BASES = {
    "one": (["lab/tiny"], "finetune"),
    "lora": (["me/one"], "adapter"),
    "more": (["me/one"], "adapter"),
    "whole": (["me/one"], "finetune"),
    "soup": (["lab/tiny"], "finetune"),
    "mean": (["lab/tiny", "lab/other"], "merge"),
}


@pytest.mark.parametrize("name", BASES)
def test_a_base_is_the_nearest_that_the_hub_knows(project, name):
    made, path = plan(), f"models/{name}"
    told = made.targets, publishing.repos(made.published), path
    assert (publishing.bases(*told), publishing.relation(*told)) == BASES[name]


def test_an_adapter_of_what_the_hub_has_not_is_called_none_of_what_that_began_as(project):
    project.edit("  one: {repo: me/one, license: mit}\n", "  {}\n")
    told = plan().targets, {}, "models/lora"
    assert (publishing.bases(*told), publishing.relation(*told)) == (["lab/tiny"], "finetune")


def test_a_licence_is_that_of_all_bases_or_must_be_said(project):
    targets = plan().targets
    assert publishing.licence(targets, "models/whole") == "gemma"
    assert publishing.licence(targets, "models/mean") is None
    project.edit("license: mit", "license: null")
    assert plan().published["one"]["license"] == "gemma"
    licensed(project, tiny="mit", other="mit")
    assert publishing.licence(plan().targets, "models/mean") == "mit"
    licensed(project, other="mit")
    assert refusal("one").startswith(f"{PAGE}:13: published.one.license: is missing, ")


def test_what_descends_from_an_id_without_a_commit_is_not_published(project):
    assert refusal("one") == ""
    project.edit(f"datasets: {{lab/rows: {COMMIT}}}", "datasets: {}", "config/lock.yaml")
    assert refusal("one") == (
        f"{PAGE}:13: published.one: models/one descends from lab/rows, which has no commit in config/lock.yaml; "
        "run `posttrain lock`"
    )


def test_a_comment_above_what_is_refused_makes_no_card_anew(project):
    project.edit(f"datasets: {{lab/rows: {COMMIT}}}", "datasets: {}", "config/lock.yaml")
    before, why = plan().described("models/one"), refusal("one")
    project.edit("published:", "# Where it goes.\npublished:")
    assert refusal("one") == why.replace(":13:", ":14:") != why
    assert plan().described("models/one") == before


def test_a_card_is_made_anew_where_another_environment_builds_what_it_tells_of(project):
    made = plan()
    before = made.described("models/one")
    made.targets["data/rows"]["environment"] = "sample"
    assert made.described("models/one") != before


def test_rows_that_may_not_be_passed_on_are_not_published(project):
    project.edit("license: mit}", "license: mit, datasets: {data/rows: {repo: me/rows, license: mit}}}")
    assert refusal("one") == ""
    project.path("config/datasets.yaml").write_text("lab/rows: {rows: {train: 9}, passed_on: false, source: here}\n")
    assert refusal("one") == (
        f"{PAGE}:13: published.one.datasets.data/rows: is made of lab/rows, which may not be passed on "
        "(config/datasets.yaml)"
    )


def test_files_of_one_name_stay_apart_and_only_one_of_the_checkout_says_where_it_lies(project, tmp_path):
    places = ["train/rows.jsonl", f"{tmp_path}/train/rows.jsonl", "../away/rows.jsonl"]
    for place in map(Path, places):
        place.parent.mkdir(exist_ok=True)
        place.write_text(f'{{"prompt": "{place}"}}\n')
    project.edit("{path: pairs.jsonl}", ", ".join(f"{{path: {place}}}" for place in places))
    target = plan().targets["preferences/pairs"]
    digests = [file_digest(Path(place)) for place in places]
    told = ["train/rows.jsonl", f"{digests[1][:8]}-rows.jsonl", f"{digests[2][:8]}-rows.jsonl"]
    shown = publishing.outward(target, target["contents"])
    assert list(shown["files"].values()) == told
    assert [shown["identity"][f"sources.{i}"] for i in range(3)] == told


def test_an_adapter_is_published_after_what_it_is_of(project):
    project.edit("published:\n", "published:\n  more: {repo: me/more, license: mit}\n")
    assert refusal("more") == (
        f"{PAGE}:13: published.more: is an adapter of models/one, which is to be published first: "
        "`snakemake published/one`"
    )
    Path("published").mkdir()
    Path("published/one.json").write_text("{}")
    assert refusal("more") == ""
    project.edit("  one: {repo: me/one, license: mit}\n", "")
    assert refusal("more") == (
        f"{PAGE}:13: published.more: is an adapter of models/one, which is not published: publish that too, or a merge "
        "(`method: merge`)"
    )
    project.edit("lora: {extends: one, base: one", "lora: {extends: one, base: lab/tiny")
    assert refusal("more") == ""


def test_a_plan_of_what_is_published_is_that_of_its_card_and_of_the_rows_that_go_with_it(project):
    project.edit("license: mit}", "license: mit, datasets: {preferences/pairs: {repo: me/pairs, license: mit}}}")
    made = plan()
    card = cli.paths_of(made, "cards/one.md")
    assert {"models/one", "data/rows"} <= {*card} and "preferences/pairs" not in card
    assert {*cli.paths_of(made, "published/one")} == {*card, "preferences/pairs"}
    with pytest.raises(Refusal, match="published/whole: no recipe says where"):
        cli.paths_of(made, "published/whole")


def test_nothing_is_published_in_a_rehearsal(fresh):
    fresh.add("published: {micro-sft: {repo: me/sft, license: mit}}\n")
    said = fresh.refused("-n", "published/micro-sft", "--profile", "rehearse")
    assert "published/micro-sft: nothing is published in a rehearsal; look at cards/micro-sft.md" in said.splitlines()
    assert "rule make_card" in fresh.make("-n", "cards/micro-sft.md", "--profile", "rehearse")[0]


def test_nothing_else_publishes(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    fresh.add("published: {micro-sft: {repo: me/sft, license: mit}}\n")
    said = fresh.make("-n", "all", "cards/micro-sft.md", DPO, SFT)[0]
    assert "rule make_card" in said and "publish_model" not in said
