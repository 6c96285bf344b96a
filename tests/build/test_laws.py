"""The laws, on the micro-chain, by counting the programs that were started."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import DPO, PAGE, SFT, Project
from posttrain.build import store
from posttrain.files import write_json

ROWS, INIT = "data/micro-rows", "models/micro-init"
NOTHING = "Nothing to be done"


def weights(project: Project, target: str = DPO) -> bytes:
    return (project.path(target) / "model.safetensors").read_bytes()


def entry(project: Project, target: str) -> Path:
    """A target's place in the store, made writable."""
    place = project.path("store") / project.manifest(target)["key"]
    for path in (place, place / "files"):
        path.chmod(0o755)
    return place


def corrupt_entries(project: Project) -> list[Path]:
    return list(project.root.glob("store/.corrupt/*"))


SPELLINGS = {
    "a comment": ("# Micro: a chain", "# Micro, said otherwise.\n# A chain"),
    "key order": ("{beta: 0.1, loss_type: [sigmoid, sft],", "{loss_type: [sigmoid, sft], beta: 0.1,"),
    "a number's spelling": ("learning_rate: 1e-2", "learning_rate: 0.0100"),
    "1 or 1.0": ("num_train_epochs: 1,", "num_train_epochs: 1.0,"),
    "a default said": ("max_length: 48, bf16: false", "max_length: 48, weight_decay: 0, bf16: false"),
}  # fmt: skip
RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
CIRCUMSTANCES = {
    "spelling": list(SPELLINGS.values()),
    "hardware": [(RUNTIME, "runtime: {gpus: 8, launch: ddp, mem_gb: 99, threads: 3}")],
    "pace": [(RUNTIME, "runtime: {micro_batch_size: 4, hours: 9, shards: 3, logging_steps: 3, save_steps: 7}")],
    "every-field": [
        (
            RUNTIME,
            "runtime: {processes: 2, launch: ddp, micro_batch_size: 2, attn_implementation: eager,"
            " activation_checkpointing: true, dataloader_num_workers: 2}",
        )
    ],
}


@pytest.mark.parametrize("edits", CIRCUMSTANCES.values(), ids=CIRCUMSTANCES)
def test_what_does_not_change_the_model_costs_nothing(built, edits):
    for old, new in edits:
        built.edit(old, new)
    output, trained = built.make()
    assert NOTHING in output
    assert trained == []


def test_a_sites_overlay_costs_nothing(built):
    site = (
        "runtime:\n  'micro-*': {micro_batch_size: 2, hours: 7, gpus: 4, launch: ddp}\naccount: lab\npartition: gpu\n"
    )
    built.path("config/site.yaml").write_text(site)
    output, trained = built.make()
    assert NOTHING in output
    assert trained == []
    assert frozen(built)["targets"][DPO]["runtime"]["gpus"] == 4, "the overlay was not read"


def frozen(project: Project) -> dict:
    """The newest frozen plan."""
    return json.loads(project.plan().read_text())


def test_beta_costs_one_training_and_back_none(built):
    before = weights(built)
    built.edit("beta: 0.1,", "beta: 0.3,")
    assert "models/micro-dpo: train.beta 0.1 → 0.3\n" in built.make("-n", DPO)[0]
    assert built.make()[1] == [DPO]
    assert built.manifest(DPO)["identity"]["train"]["beta"] == 0.3
    assert weights(built) != before
    built.edit("beta: 0.3,", "beta: 0.1,")
    output, trained = built.make()
    assert "localrule restore" in output
    assert trained == []
    assert weights(built) == before
    assert NOTHING in built.make()[0]


def test_epochs_of_sft_cost_two_trainings(built):
    built.edit("num_train_epochs: 1,", "num_train_epochs: 2,")
    assert "models/micro-sft: train.num_train_epochs 1 → 2\n" in built.make("-n", DPO)[0]
    assert built.planned(DPO) == {SFT: "train_sft", DPO: "train_dpo"}


def test_an_edited_row_costs_what_follows_and_back_nothing(built):
    before = weights(built, SFT)
    built.edit('"ant', '"art', "rows.jsonl")
    assert {SFT, DPO} <= built.planned(DPO).keys()
    output, trained = built.make(SFT)
    assert trained == [SFT]
    assert "data/micro-rows: rows.jsonl has other content\n" in output
    assert weights(built, SFT) != before
    built.edit('"art', '"ant', "rows.jsonl")
    assert built.make(SFT)[1] == []
    assert weights(built, SFT) == before
    assert NOTHING in built.make("-n", DPO)[0]


def test_another_name_for_equal_rows_costs_nothing(built):
    built.path("rows.jsonl").rename(built.path("words.jsonl"))
    built.edit("rows.jsonl", "words.jsonl")
    output, trained = built.make(ROWS, DPO)
    assert "data/micro-rows: sources.0 rows.jsonl → words.jsonl\n" in output, "the name is part of the identity"
    assert trained == []
    assert NOTHING in built.make(ROWS, DPO)[0]


def test_an_upstream_of_equal_bytes_cuts_off_what_follows(built):
    before = built.manifest(SFT)
    built.edit("num_train_epochs: 1,", "num_train_epochs: 1, max_steps: 4,")  # four steps are one epoch
    assert built.make()[1] == [SFT]
    after = built.manifest(SFT)
    assert after["key"] != before["key"]
    assert after["content"] == before["content"]
    assert NOTHING in built.make()[0]


@pytest.mark.parametrize(
    "lost",
    [
        "models",
        ".snakemake",
        ".posttrain",
        "models .snakemake",
        "models .posttrain",
        "models .snakemake .posttrain work tokens tokenizers",
    ],
)
def test_what_is_lost_is_restored(built, lost):
    before = weights(built)
    for name in lost.split():
        shutil.rmtree(built.path(name))
    assert built.make(DPO, SFT)[1] == []
    assert weights(built) == before
    assert weights(built, SFT)
    assert NOTHING in built.make(DPO, SFT)[0]


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
    before = {target: (weights(built, target), built.manifest(target)) for target in (SFT, DPO)}
    for target in before:
        damage(built, target)
    assert built.make(DPO, SFT)[1] == []
    assert {target: (weights(built, target), built.manifest(target)) for target in before} == before
    assert NOTHING in built.make(DPO, SFT)[0]


def test_a_folder_copied_in_with_another_recipes_manifest_is_not_served(built):
    """As when a colleague's models/ is copied over one's own: a folder, no link, made by another recipe."""
    before, manifest = weights(built), built.manifest(DPO)
    foreign, theirs = built.path(INIT).resolve(), built.manifest("models/micro-init")
    built.path(DPO).unlink()
    shutil.copytree(foreign, built.path(DPO))
    claimed = theirs | {"identity": manifest["identity"] | {"base": "another"}, "key": "f" * 16}
    built.path(f"{DPO}.json").write_text(json.dumps(claimed))
    output, trained = built.make()
    assert "models/micro-dpo: base another → micro-sft" in output
    assert trained == []
    assert built.path(DPO).is_symlink()
    assert weights(built) == before
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


def test_a_recipe_edited_while_its_jobs_run_and_wait_is_built_as_planned(built):
    built.edit("learning_rate: 1e-2, batch_size: 8,", "learning_rate: 2e-2, batch_size: 8,")
    run = built.start(DPO)
    built.wait(lambda: built.started().count(SFT) == 2, 600)
    built.edit("learning_rate: 2e-2, batch_size: 8,", "learning_rate: 3e-2, batch_size: 8,")  # of the running job
    built.edit("beta: 0.1,", "beta: 0.3,")  # of the waiting one
    built.make("-n", DPO)  # rewrites triggers, and must hide nothing from the next run
    assert run.poll() is None, "the edits came too late to prove anything"
    output = run.communicate(timeout=600)[0]
    assert run.returncode == 0, output
    assert built.manifest(SFT)["identity"]["train"]["learning_rate"] == 0.02
    assert built.manifest(DPO)["identity"]["train"]["beta"] == 0.1
    output = built.make("-n", DPO)[0]
    assert "models/micro-sft: train.learning_rate 0.02 → 0.03\n" in output
    assert "models/micro-dpo: train.beta 0.1 → 0.3\n" in output
    assert built.planned(DPO) == {SFT: "train_sft", DPO: "train_dpo"}


TWINS = """\
  micro-scan:
    extends: micro-dpo
    scan: {loss_type: [[sigmoid, sft], ipo], beta: [0.10]}
  micro-ipo:
    extends: micro-dpo
    train: {loss_type: ipo}
"""


def test_twins_and_the_points_of_a_scan_are_trained_once(built):
    with built.path(PAGE).open("a") as page:
        page.write(TWINS)
    trained = built.make("all")[1]
    assert trained == ["models/micro-scan@loss_type=ipo,beta=0.1"]
    assert built.content("models/micro-scan@loss_type=sigmoid+sft,beta=0.1") == built.content(DPO)
    assert built.content("models/micro-ipo") == built.content(trained[0]) != built.content(DPO)
    assert NOTHING in built.make("all")[0]


def test_one_job_writes_and_a_second_run_is_refused(built):
    built.edit("num_train_epochs: 1,", "num_train_epochs: 60,")
    built.edit("save_steps: 1,", "save_steps: 100,")
    run = built.start(SFT)
    built.wait(lambda: built.status(SFT).get("step", 0) > 1, 600)
    output = built.refused(SFT)
    said = re.compile(
        r"models/micro-sft: process \d+ on \S+ is building this \(step \d+ of 240.*\); wait for it, or end it"
    )
    assert said.match(output.splitlines()[-1]), output
    assert "Traceback" not in output
    output = run.communicate(timeout=600)[0]
    assert run.returncode == 0, output
    assert built.started().count(SFT) == 2, "once as it was built, once now"


def test_a_job_that_lost_its_lease_ends_and_publishes_nothing(built):
    before, stored = built.manifest(SFT), set(built.root.glob("store/*"))
    built.edit("num_train_epochs: 1,", "num_train_epochs: 1000,")
    run = built.start(SFT)
    built.wait(lambda: built.status(SFT).get("step", 0) > 1, 600)
    key = built.journal()[-1]["key"]
    turn = built.path(f"store/.leases/{key}")
    (turn / "2").mkdir()
    run.communicate(timeout=600)
    assert run.returncode != 0
    assert set(built.root.glob("store/*")) == stored
    assert built.status(SFT)["step"] < 4000
    assert not built.path(f"{SFT}.json").exists() or built.manifest(SFT) == before


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


def test_software_alone_makes_nothing_stale(built):
    with built.path("envs/train.lock").open("a") as lock:
        lock.write("another-package==1.0\n")
    output, trained = built.make("-n", DPO)
    assert "models/micro-dpo: made with another envs/train.lock; it stays" in output
    assert NOTHING in output
    assert trained == built.make()[1] == []


def test_a_model_of_other_software_in_the_store_moves_nothing_that_stands(built):
    with built.path("envs/train.lock").open("a") as lock:
        lock.write("another-package==1.0\n")
    built.make("-n", DPO)
    theirs = built.path("store") / frozen(built)["targets"][SFT]["key"]
    shutil.copytree(built.path(SFT), theirs / "files")
    store.make_writable(theirs)
    (theirs / "files/config.json").write_text("{}")
    write_json(theirs / "manifest.json", built.manifest(SFT) | {"key": theirs.name} | store.describe(theirs / "files"))
    output, trained = built.make()
    assert NOTHING in output
    assert trained == []


def test_a_build_begins_at_any_artifact(fresh, micro_built):
    shutil.copytree(micro_built.path(SFT), fresh.root.parent / "theirs")
    with fresh.path(PAGE).open("a") as page:
        page.write("use:\n  models/micro-sft: ../theirs\n")
    assert fresh.make()[1] == [SFT, DPO]
    stages = {line["target"].split("/")[0] for line in fresh.journal()}
    assert "data" not in stages, "the rows of a model that is there are not needed"
    assert weights(fresh) == weights(micro_built), "the same base, pairs and recipe are the same model"
