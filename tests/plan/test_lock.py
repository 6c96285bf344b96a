"""`posttrain lock`: the commits of hub ids, and what becomes of those that the hub does not resolve."""

import pytest
from test_plan import plan_of

from conftest import PAGE, Project
from hub import COMMIT, Hub
from posttrain.files import Refusal
from posttrain.plan.lineage import lineage
from posttrain.recipes import lock
from posttrain.recipes.names import HUB_ID

LOGIN = "set HF_TOKEN, or run `hf auth login`"
NEWER, TUNED, OLD = "a" * 40, "b" * 40, "c" * 40
PAGE_OF_THE_HUB = """\
data:
  rows: {sources: [{hub: lab/rows}]}
models:
  one: {method: sft, base: lab/tiny, data: rows, train: {learning_rate: 1e-2, batch_size: 8}}
  two: {extends: one, base: lab/tiny@it-SFT}
  three: {extends: one, base: lab/tiny@COMMIT}
""".replace("@COMMIT", f"@{OLD}")
LOCK = f"""\
# Ours.
models:
  lab/tiny: {OLD}
  lab/gone: {OLD}
# Rows.
datasets: {{}}
# Wheels, of no concern here.
wheels: {{}}  # none
"""


@pytest.fixture
def hub(hub: Hub) -> Hub:
    hub.add("models/lab/tiny", **{"it-SFT": TUNED})
    hub.add("datasets/lab/rows")
    return hub


@pytest.fixture
def project(fresh: Project, hub: Hub) -> Project:
    """A checkout that names a model at two revisions and a data set."""
    fresh.path(PAGE).write_text(PAGE_OF_THE_HUB)
    return fresh


def locked(project: Project) -> dict[str, dict[str, str]]:
    return lock.read(project.path("config/lock.yaml"))


def test_every_hub_id_of_the_recipes_gets_its_commit_and_what_is_written_stays(project):
    project.path("config/lock.yaml").write_text(LOCK)
    said = project.posttrain("lock")
    assert said.splitlines() == [
        f"lab/tiny@it-SFT  unlocked → {TUNED}",
        f"lab/rows  unlocked → {COMMIT}",
        "lab/gone  is named by no recipe; --prune takes it away",
    ]
    assert project.path("config/lock.yaml").read_text() == (
        f"# Ours.\nmodels:\n  lab/gone: {OLD}\n  lab/tiny: {OLD}\n  lab/tiny@it-SFT: {TUNED}\n# Rows.\n"
        f"datasets:\n  lab/rows: {COMMIT}\n# Wheels, of no concern here.\nwheels: {{}}  # none\n"
    )


def test_an_update_moves_an_entry_to_the_newest_commit(project, hub):
    project.path("config/lock.yaml").write_text(LOCK)
    hub.revisions["models/lab/tiny"]["main"] = NEWER
    assert project.posttrain("lock", "--update", "lab/tiny", "--prune").splitlines() == [
        f"lab/tiny  {OLD} → {NEWER}",
        "lab/gone  is named by no recipe; taken away",
    ]
    assert locked(project)["models"] == {"lab/tiny": NEWER}
    project.posttrain("lock")
    assert project.posttrain("lock") == "config/lock.yaml has the commit of every hub id\n"


def gone(hub: Hub) -> None:
    del hub.repositories["models/lab/tiny"]


def without_revision(hub: Hub) -> None:
    del hub.revisions["models/lab/tiny"]["it-SFT"]


def too_many(hub: Hub) -> None:
    hub.busy, hub.retry_after = 1, "3600"  # an hour is not waited


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (gone, f"the hub has no model lab/tiny, or it is private: check the id, or {LOGIN}"),
        (without_revision, "lab/tiny has no revision it-SFT; mend what stands after the @"),
        (too_many, "lab/tiny: the hub answers 429, too many requests; run again in a few minutes to go on"),
    ],
    ids=["no repository", "no revision", "too many"],
)
def test_an_id_that_the_hub_does_not_resolve_costs_no_other(project, hub, fault, said):
    fault(hub)
    output = project.posttrain("lock", rc=1)
    assert output.splitlines()[-1] == said
    assert "Traceback" not in output
    assert locked(project)["datasets"] == {"lab/rows": COMMIT}


def test_a_gated_model_has_a_commit_and_the_token_that_opens_it_is_sent_and_not_said(project, hub):
    hub.gated.add("models/lab/tiny")
    output = project.posttrain("lock", HF_TOKEN="hf_secret")
    assert locked(project)["models"] == {"lab/tiny": COMMIT, "lab/tiny@it-SFT": TUNED}
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in output


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        ({}, "lab/tiny: the hub answered 503; run again to go on"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "lab/tiny: the hub cannot be reached; run again to go on"),
        ({"HF_HUB_OFFLINE": "1"}, "lab/tiny: HF_HUB_OFFLINE forbids to ask the hub; unset it"),
    ],
    ids=["down", "away", "forbidden"],
)
def test_without_the_hub_each_id_has_its_line(project, hub, asks, said):
    hub.down = True
    output = project.posttrain("lock", rc=1, **asks)
    assert output.splitlines() == [said, said.replace("tiny", "tiny@it-SFT"), said.replace("tiny", "rows")]
    assert locked(project)["models"] == {}


def test_a_hub_that_is_asked_too_often_is_asked_again(project, hub):
    hub.busy = 2
    assert "lab/tiny: too many requests; asked again in 0 s" in project.posttrain("lock")
    assert locked(project)["models"] == {"lab/tiny": COMMIT, "lab/tiny@it-SFT": TUNED}


def test_an_id_that_no_recipe_names_is_not_locked(project):
    assert project.posttrain("lock", "lab/tinny", rc=1) == (
        "lab/tinny: no recipe names this hub id. Did you mean lab/tiny?\n"
    )


@pytest.mark.parametrize("commit", ["1" * 40, "1" * 38 + "e9", "0" * 40])
def test_a_commit_that_looks_like_a_number_is_written_as_a_commit(tmp_path, commit):
    file = tmp_path / "lock.yaml"
    lock.write(file, {"models": {"lab/tiny": commit}})
    assert lock.read(file)["models"] == {"lab/tiny": commit}


def test_a_section_that_cannot_be_rewritten_is_left_as_it_is(tmp_path):
    file = tmp_path / "lock.yaml"
    file.write_text(text := f"models: {{\nlab/tiny: {OLD}\n}}\n")
    with pytest.raises(Refusal, match="models: cannot be rewritten; write it as `models:` with a line for each"):
        lock.write(file, {"models": {"lab/tiny": NEWER}})
    assert file.read_text() == text


def test_a_revision_is_part_of_an_id(project, monkeypatch):
    project.path("config/lock.yaml").write_text(f"models: {{lab/tiny@it-SFT: {TUNED}}}\n")
    monkeypatch.chdir(project.root)
    targets = plan_of(project)
    revisions = {path: target["own"]["revision"] for path, target in targets.items() if path.startswith("hub/models")}
    assert revisions == {
        "hub/models--lab--tiny": "main",
        "hub/models--lab--tiny@it-SFT": TUNED,
        f"hub/models--lab--tiny@{OLD}": OLD,
    }
    assert {target["own"]["repo_id"] for path, target in targets.items() if path in revisions} == {"lab/tiny"}
    for name, hub_ids in (("one", ["lab/rows", "lab/tiny"]), ("two", ["lab/rows"]), ("three", ["lab/rows"])):
        assert targets[f"models/{name}"]["unlocked"] == hub_ids
        tokenizers = [path for path in lineage(targets, f"models/{name}") if path.startswith("hub/tokenizers")]
        base = targets[f"models/{name}"]["inputs"]["base"]
        assert tokenizers == [base.replace("hub/models", "hub/tokenizers")], "a tokenizer is of its model's revision"


@pytest.mark.parametrize("hub_id", ["lab/a--b", "lab/a@..", "lab/a@b/../c", "lab/a@", "lab/a@b//c", "lab/" + "a" * 150])
def test_an_id_that_would_be_no_safe_name_of_a_file_is_none(hub_id):
    assert not HUB_ID.fullmatch(hub_id)


def test_ids_have_file_names_of_their_own():
    parts = ["lab/a", "lab/a@b", "lab/a@b/c", "lab/a@b-c", "lab/a-b", "lab-a/b"]
    assert all(map(HUB_ID.fullmatch, parts))
    assert len({hub_id.replace("/", "--") for hub_id in parts}) == len(parts)
