"""`posttrain adopt`: what a user finds in a target's place, and what is left of an attempt that the plan refuses."""

import argparse

import pytest

from conftest import DPO, PAGE, SFT, Project
from hub import COMMIT
from posttrain import cli
from posttrain.files import Refusal

USES = "config/recipes/use.yaml"


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout that we stand in, with a checkpoint to adopt beside it."""
    fresh.path("theirs").mkdir()
    fresh.path("theirs/model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(fresh.root)
    return fresh


def adopt(target: str, place: str | None = None, drop: bool = False) -> None:
    cli.adopt_or_drop(argparse.Namespace(target=target, place=place, drop=drop))


def test_a_checkpoint_is_put_in_a_models_place_and_taken_back(project, capsys):
    adopt(SFT, "theirs")
    target = project.targets()[SFT]
    assert (target["stage"], target["files"]) == ("adopt_folder", {"folder": "theirs"})
    assert capsys.readouterr().out.splitlines() == [
        f"{SFT}: theirs, digest {target['contents']['folder']}",
        f"{USES} says so; `posttrain adopt --drop {SFT}` takes it back",
        f"begun there: {DPO}",
    ]
    assert project.path(USES).read_text().endswith(f"use:\n  {SFT}: theirs\n")
    adopt(SFT, drop=True)
    assert project.targets()[SFT]["stage"] == "train_sft"
    assert capsys.readouterr().out == f"{SFT}: nothing stands in its place any more\n"


def test_a_repository_is_adopted_at_its_commit(project, capsys):
    adopt(SFT, "lab/tiny@it-SFT")
    assert capsys.readouterr().out.startswith(f"{SFT}: lab/tiny@it-SFT has no commit in config/lock.yaml; `it-SFT` as")
    project.edit("models: {}", f"models: {{lab/tiny@it-SFT: {COMMIT}}}", "config/lock.yaml")
    adopt(SFT, "lab/tiny@it-SFT")
    assert capsys.readouterr().out.startswith(f"{SFT}: lab/tiny of the hub, commit {COMMIT}\n")


def test_rows_may_be_adopted_under_a_name_that_no_recipe_has(project, capsys):
    project.path("theirs/train.parquet").touch()
    adopt("data/bought", "theirs")
    assert "begun there: nothing yet; a recipe may name it" in capsys.readouterr().out
    with project.path(PAGE).open("a") as page:
        page.write("  more: {extends: micro-sft, data: bought}\n")
    adopt("data/bought", "theirs")
    assert "begun there: models/more" in capsys.readouterr().out
    with pytest.raises(Refusal, match=rf"{PAGE}:\d+: models.more.data: there is no data/bought"):
        adopt("data/bought", drop=True)
    assert "data/bought" in project.path(USES).read_text(), "what others need stays"


def test_uses_that_are_none_yet_are_written_and_what_is_no_mapping_stays(project):
    project.path(USES).write_text("# Mine.\nuse:\n")
    adopt(SFT, "theirs")
    assert project.path(USES).read_text() == f"# Mine.\nuse:\n  {SFT}: theirs\n"
    project.path(USES).write_text("use: [theirs]\n")
    with pytest.raises(Refusal, match=f"{USES}: use: is a mapping from targets to folders or hub ids"):
        adopt(SFT, "theirs")


@pytest.mark.parametrize("before", [None, "# Mine.\nuse:\n  models/bought: theirs  # for a trial\n"])
def test_what_the_plan_refuses_is_not_written(project, before):
    if before:
        project.path(USES).write_text(before)
    with pytest.raises(Refusal, match=rf"{USES}:\d: use.{SFT}: there is no folder no/such/folder, and it is no hub id"):
        adopt(SFT, "no/such/folder")
    with pytest.raises(Refusal, match=rf"{USES}:\d: use.micro-sft: say which target, as in `models/zephyr-7b-sft`"):
        adopt("micro-sft", "theirs")
    assert (project.path(USES).read_text() if before else project.path(USES).exists()) == (before or False)


def test_a_linked_folder_in_what_is_adopted_is_refused_for_its_files_have_no_digest(project):
    project.path("other").mkdir()
    project.path("theirs/sub").symlink_to("../other")
    with pytest.raises(Refusal, match="theirs/sub: is a link to a folder, of which no digest would be taken"):
        adopt(SFT, "theirs")


def test_only_what_stands_there_is_dropped(project):
    adopt(SFT, "theirs")
    with pytest.raises(Refusal, match=rf"{USES}: use: has no models/micro-sfd. Did you mean {SFT}?"):
        adopt("models/micro-sfd", drop=True)
    with pytest.raises(Refusal, match="say a folder or a hub id to put in its place, or --drop to take it back"):
        adopt(SFT)
