"""What is damaged, in a target's place or in the store: told, set aside, and made again; never served."""

import json
import os
import shutil
from pathlib import Path

import pytest

from conftest import DPO, SFT, Project
from posttrain.build import store

ROWS, INIT = "data/micro-rows", "models/micro-init"
NOTHING = "Nothing to be done"


def entry(project: Project, target: str) -> Path:
    """A target's place in the store, made writable."""
    place = project.path("store") / project.manifest(target)["key"]
    for path in (place, place / "files"):
        path.chmod(0o755)
    return place


def corrupt_entries(project: Project) -> list[Path]:
    return list(project.root.glob("store/.corrupt/*"))


def lose_the_link(project: Project, target: str) -> None:
    project.path(target).unlink()


def lose_the_manifest(project: Project, target: str) -> None:
    project.path(f"{target}.json").unlink()


def dangle(project: Project, target: str) -> None:
    project.path(target).unlink()
    project.path(target).symlink_to("../store/0000000000000000/files")


def point_elsewhere(project: Project, target: str) -> None:
    other = os.readlink(project.path(INIT))
    project.path(target).unlink()
    project.path(target).symlink_to(other)


def break_the_manifest(project: Project, target: str) -> None:
    project.path(f"{target}.json").write_text('{"identity": {"me')


def empty_the_manifest(project: Project, target: str) -> None:
    project.path(f"{target}.json").write_text("null\n")


def claim_another_recipe(project: Project, target: str) -> None:
    manifest = project.manifest(target)
    manifest["identity"]["train"]["seed"] = 99
    project.path(f"{target}.json").write_text(json.dumps(manifest))


DAMAGE = [
    lose_the_link, lose_the_manifest, dangle, point_elsewhere, break_the_manifest, empty_the_manifest,
    claim_another_recipe,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_target_is_mended_without_training(built, damage):
    before = {target: (built.weights(target), built.manifest(target)) for target in (SFT, DPO)}
    for target in before:
        damage(built, target)
    assert built.make(DPO, SFT)[1] == []
    assert {target: (built.weights(target), built.manifest(target)) for target in before} == before
    assert NOTHING in built.make(DPO, SFT)[0]


def test_a_folder_copied_in_with_another_recipes_manifest_is_not_served(built):
    """As when a colleague's models/ is copied over one's own: a folder, no link, made by another recipe."""
    before, manifest = built.weights(), built.manifest(DPO)
    foreign, theirs = built.path(INIT).resolve(), built.manifest("models/micro-init")
    built.path(DPO).unlink()
    shutil.copytree(foreign, built.path(DPO))
    claimed = theirs | {"identity": manifest["identity"] | {"base": "another"}, "key": "f" * 16}
    built.path(f"{DPO}.json").write_text(json.dumps(claimed))
    output, trained = built.make()
    assert "models/micro-dpo: base another → micro-sft" in output
    assert trained == []
    assert built.path(DPO).is_symlink()
    assert built.weights() == before
    assert built.manifest(DPO) == manifest


def test_a_folder_with_a_file_of_ones_own_is_refused_though_a_manifest_stands(built):
    files = built.path(DPO).resolve()
    built.path(DPO).unlink()
    shutil.copytree(files, built.path(DPO))
    store.make_writable(built.path(DPO))
    (built.path(DPO) / "notes.txt").write_text("precious")
    assert "is a folder that posttrain did not make" in built.refused(DPO)
    assert (built.path(DPO) / "notes.txt").read_text() == "precious"
    (built.path(DPO) / "notes.txt").unlink()
    built.make()
    assert built.path(DPO).is_symlink(), "a mere copy is replaced"


def test_a_folder_of_ones_own_in_a_targets_place_is_refused_and_left_alone(built):
    built.path(DPO).unlink()
    built.path(f"{DPO}.json").unlink()
    built.path(DPO).mkdir()
    (built.path(DPO) / "mine").write_text("a week's work")
    assert "models/micro-dpo is a folder that posttrain did not make; move it away" in built.refused(DPO)
    assert (built.path(DPO) / "mine").exists()


def flip_a_byte(place: Path, name: str) -> None:
    file = place / "files" / name
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(place: Path, name: str) -> None:
    file = place / "files" / name
    file.chmod(0o644)
    os.truncate(file, file.stat().st_size - 1)


def remove(place: Path, name: str) -> None:
    (place / "files" / name).unlink()


def remove_the_manifest(place: Path, name: str) -> None:
    (place / "manifest.json").unlink()


def add_a_file(place: Path, name: str) -> None:
    (place / "files" / "more.parquet").touch()


def rerun(project: Project, target: str) -> tuple[list[str], list[str]]:
    """Run twice at most: a job that meets a corrupt entry sets it aside, and the next run builds it."""
    before = len(project.started())
    run = project.start(target)
    output = run.communicate(timeout=600)[0]
    if run.returncode:
        assert "run snakemake again" in output
        project.make(target)
    return project.started()[before:]


@pytest.mark.parametrize("harm", [flip_a_byte, truncate, remove, remove_the_manifest, add_a_file])
def test_a_corrupt_entry_is_never_restored(built, harm):
    before, place = built.manifest(ROWS), entry(built, ROWS)
    harm(place, "train.parquet")
    lose_the_link(built, ROWS)
    lose_the_manifest(built, ROWS)
    assert rerun(built, ROWS) == [ROWS]
    assert len(corrupt_entries(built)) == 1, "what was corrupt is kept, aside"
    assert built.manifest(ROWS) == before
    assert sorted(path.name for path in built.path(ROWS).iterdir()) == ["ledger.json", "train.parquet"]
    assert NOTHING in built.make(ROWS)[0]


@pytest.mark.parametrize("harm", [truncate, remove])
def test_a_corrupt_entry_that_a_target_points_to_is_rebuilt(built, harm):
    """What a look at names and sizes can tell is told by every plan."""
    before = built.manifest(ROWS)
    harm(entry(built, ROWS), "train.parquet")
    assert rerun(built, ROWS) == [ROWS]
    assert built.manifest(ROWS) == before


def test_a_base_with_a_wrong_byte_is_never_trained_on(built):
    before = built.manifest(INIT)
    flip_a_byte(entry(built, INIT), "model.safetensors")
    built.edit("num_train_epochs: 1,", "max_steps: 1,")
    assert rerun(built, SFT) == [INIT, SFT]
    assert built.manifest(INIT) == before
