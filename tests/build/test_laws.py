"""The laws, on the micro-chain, by counting the programs that were started."""

import re
import shutil

import pytest

from conftest import DPO, PAGE, SFT
from posttrain.build import store
from posttrain.files import write_json

ROWS = "data/micro-rows"
NOTHING = "Nothing to be done"


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
    assert built.targets()[DPO]["runtime"]["gpus"] == 4, "the overlay was not read"


def test_beta_costs_one_training_and_back_none(built):
    before = built.weights()
    built.edit("beta: 0.1,", "beta: 0.3,")
    assert "models/micro-dpo: train.beta 0.1 → 0.3\n" in built.make("-n", DPO)[0]
    assert built.make()[1] == [DPO]
    assert built.manifest(DPO)["identity"]["train"]["beta"] == 0.3
    assert built.weights() != before
    built.edit("beta: 0.3,", "beta: 0.1,")
    output, trained = built.make()
    assert "localrule restore" in output
    assert trained == []
    assert built.weights() == before
    assert NOTHING in built.make()[0]


def test_epochs_of_sft_cost_two_trainings_and_a_reference(built):
    built.edit("num_train_epochs: 1,", "num_train_epochs: 2,")
    assert "models/micro-sft: train.num_train_epochs 1 → 2\n" in built.make("-n", DPO)[0]
    assert sorted(built.planned(DPO).values()) == ["compute_reference", "train_dpo", "train_sft"]


def test_an_edited_row_costs_what_follows_and_back_nothing(built):
    before = built.weights(SFT)
    built.edit('"ant', '"art', "rows.jsonl")
    assert {SFT, DPO} <= built.planned(DPO).keys()
    output, trained = built.make(SFT)
    assert trained == [SFT]
    assert "data/micro-rows: rows.jsonl has other content\n" in output
    assert built.weights(SFT) != before
    built.edit('"art', '"ant', "rows.jsonl")
    assert built.make(SFT)[1] == []
    assert built.weights(SFT) == before
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
    before = built.weights()
    for name in lost.split():
        shutil.rmtree(built.path(name))
    assert built.make(DPO, SFT)[1] == []
    assert built.weights() == before
    assert built.weights(SFT)
    assert NOTHING in built.make(DPO, SFT)[0]


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
    assert sorted(built.planned(DPO).values()) == ["compute_reference", "train_dpo", "train_sft"]


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


def test_targets_that_prove_the_same_only_when_they_run_are_made_once_side_by_side(built):
    """Of equal rows by another recipe: the second waits for the first, at every stage that both come to at once."""
    sound, slow = "    with open_job(__doc__) as job:\n", "        __import__('time').sleep(2)\n"
    built.edit(sound, sound + slow, "scripts/tokenize_rows.py")
    built.edit("data:\n", "data:\n  same: {sources: [{path: rows.jsonl}], lengths: {min_chars: 2}}\n")
    page = built.path(PAGE)
    page.write_text(
        f"{page.read_text()}  one: {{extends: micro-sft, train: {{seed: 7}}}}\n"
        "  two: {extends: micro-sft, data: same, train: {seed: 7}}\n"
    )
    trained = built.make("models/one", "models/two")[1]
    assert trained in (["models/one"], ["models/two"])
    assert built.content("models/one") == built.content("models/two") != built.content(SFT)
    starts = [line["target"] for line in built.journal() if line["event"] == "start"]
    assert len(set(starts)) == len(starts)
    assert NOTHING in built.make("models/one", "models/two")[0]


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
    theirs = built.path("store") / built.targets()[SFT]["key"]
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
    assert fresh.weights() == micro_built.weights(), "the same base, pairs and recipe are the same model"
