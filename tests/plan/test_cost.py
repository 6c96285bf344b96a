"""`posttrain plan`: the jobs that would run, and what they would take."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DPO, SFT, Project, shipped_checkout
from posttrain import cli
from posttrain.files import Refusal
from posttrain.plan import cost, duration, frozen, size

MISTRAL = {"model_type": "mistral", "vocab_size": 32000}  # all else as transformers fills it in
SEVEN_B = 7_241_732_096


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Project:
    """Only planned in."""
    project = shipped_checkout(tmp_path / "p")
    monkeypatch.chdir(project.root)
    return project


def jobs(*asked: str) -> dict[str, cost.Job]:
    targets = json.loads(Path(frozen.freeze_here()).read_text())["targets"]
    return {job.path: job for job in cost.jobs(targets, list(asked))}


def said(*asked: str, gpu: str | None = None) -> None:
    cli.show_plan(argparse.Namespace(target=list(asked), gpu=gpu))


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [name])


def fetched(config: dict) -> None:
    """The base as it stands after a fetch: what its own config.json says goes before config/bases.yaml."""
    Path("hub/models--mistralai--Mistral-7B-v0.1").mkdir(parents=True, exist_ok=True)
    Path("hub/models--mistralai--Mistral-7B-v0.1/config.json").write_text(json.dumps(config))


def test_the_jobs_are_those_that_snakemake_would_run(built, monkeypatch):
    monkeypatch.chdir(built.root)
    assert jobs(DPO) == {}
    built.edit("num_train_epochs: 1,", "num_train_epochs: 2,")
    assert {path: job.target["rule"] for path, job in jobs(DPO).items()} == built.planned(DPO)
    built.edit("num_train_epochs: 2,", "num_train_epochs: 1,")
    shutil.rmtree("models")
    assert {path: job.target["rule"] for path, job in jobs(DPO).items()} == {DPO: "restore"} == built.planned(DPO)


def test_what_was_foretold_of_disk_is_what_is_there(micro_built, monkeypatch):
    monkeypatch.chdir(micro_built.root)
    targets = micro_built.targets()
    for path in ("models/micro-init", SFT, DPO):
        assert cost.job(targets, path).stored == pytest.approx(
            micro_built.path(f"{path}/model.safetensors").stat().st_size, rel=0.05
        )


def test_a_base_that_is_not_here_yet_is_as_large_as_published(shipped, capsys):
    job = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"]
    assert job.architecture.parameters == SEVEN_B
    assert (job.gpus, job.hours) == (8, 4)
    with pytest.raises(Refusal, match="does not fit: "):  # 400 GB: no machine of ours has them
        said("models/zephyr-7b-dpo", gpu="h100")
    line = line_of(capsys.readouterr().out, "models/zephyr-7b-dpo")
    assert line.split()[1:] == ["8", "3", "≤", "0.85", "48.4", "GB:", "fits", "29", "GB", "missing"]


def test_a_base_that_nobody_describes_is_said_to_be_unknown(shipped, capsys):
    shipped.edit("base: mistralai/Mistral-7B-v0.1", "base: org/nameless", "config/recipes/zephyr-7b.yaml")
    job = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"]
    assert (job.memory, job.stored, job.working, job.work) == (None, None, None, None)
    said("models/zephyr-7b-dpo")
    text = capsys.readouterr().out
    assert line_of(text, "models/zephyr-7b-dpo").split()[1:] == ["8", "3", "?", "?", "?", "missing"]
    assert "? cannot be told" in text


def test_a_model_that_is_here_has_a_size(shipped):
    fetched(MISTRAL | {"num_hidden_layers": 16})
    model = jobs("models/zephyr-7b-dpo")["models/zephyr-7b-dpo"].architecture
    assert (model.layers, model.parameters < SEVEN_B) == (16, True)
    fetched(MISTRAL)
    job = jobs("models/zephyr-7b-dpo")["models/zephyr-7b-dpo"]
    kept = size.BYTES[job.target["own"]["train"]["dtype"]]
    assert job.architecture.parameters == SEVEN_B
    assert job.stored == SEVEN_B * kept
    assert job.working == cost.CHECKPOINTS * SEVEN_B * 4 * kept  # weights, moments, ZeRO's copy
    assert 139e9 > job.memory > SEVEN_B * kept / 8


def test_a_merge_weighs_what_its_own_dtype_says(shipped):
    fetched(MISTRAL)
    shipped.path("config/recipes/merges.yaml").write_text(
        "models:\n"
        "  lora: {extends: zephyr-7b-sft, peft: {r: 16}}\n"
        "  halved: {extends: lora, train: {dtype: bfloat16}}\n"
        "  whole: {method: merge, base: halved}\n"
        "  half: {method: merge, base: lora, dtype: bfloat16}\n"
        "  mean: {method: linear, models: {half: 0.5, whole: 0.5}}\n"
    )
    stored = {path: job.stored for path, job in jobs("models/whole", "models/mean").items()}
    assert stored["models/whole"] == 4 * SEVEN_B
    assert stored["models/half"] == stored["models/mean"] == 2 * SEVEN_B


def test_what_does_not_fit_is_refused_in_a_line(shipped, monkeypatch, capsys):
    fetched(MISTRAL)
    monkeypatch.setattr(cost, "free", lambda place: 1e9)
    with pytest.raises(Refusal, match=r"^does not fit: .* are wanted at store, and 1 GB are free; free some"):
        said("models/zephyr-7b-dpo")
    assert "GPU-hours" in capsys.readouterr().out


def test_more_memory_than_was_asked_for_is_said(shipped, capsys):
    shipped.edit("mem_gb: 4", "mem_gb: 0.5", "config/recipes/quickstart.yaml")
    said("models/quickstart-sft")
    assert "models/quickstart-sft: runtime.mem_gb 0.5 is asked for, and " in capsys.readouterr().out


def test_a_page_asks_for_all_that_it_shows(shipped, capsys):
    said("reports/quickstart-dpo.html")
    assert "evals/quickstart-dpo/spelling" in capsys.readouterr().out


def test_a_name_that_no_recipe_has_is_answered_with_the_nearest(shipped):
    with pytest.raises(Refusal, match="No recipe makes models/quickstart-dqo. Nearest: models/quickstart-dpo"):
        said("models/quickstart-dqo")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="no config/config.yaml here"):
        said()


def test_the_command_line_loads_no_library_of_training():
    code = "import sys, posttrain.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    assert "posttrain.plan.cost" in loaded
    assert not loaded & {"torch", "transformers", "datasets", "numpy", "snakemake"}


def test_kto_of_pairs_is_no_less_work_than_dpo_of_them() -> None:
    """It reads both answers, each beside another prompt's for its KL."""
    rows = {"stage": "mix_preferences", "own": {"sources": [source(rows=10)]}, "inputs": {}, "made": False}
    tokens = {"inputs": {"rows": "preferences/x"}, "made": False}
    targets = {"preferences/x": rows}
    for method in ("dpo", "kto"):
        targets[method] = tokens | {"own": {"method": method, "max_length": 8}}
    assert duration.tokens_read(targets, "dpo") == (10 * 2 * 8, False)
    assert duration.tokens_read(targets, "kto") == (10 * 4 * 8, False)


def test_a_share_is_of_all_rows_and_not_of_those_behind_what_is_skipped() -> None:
    targets = {"hub/x": {"stage": "fetch_snapshot", "published": {"train": 100}}}
    shares = [source(skip=10, weight=0.5), source(skip=90, weight=0.5), source(skip=10), source(rows=7, skip=10)]
    assert [duration.of_source(targets, "hub/x", share) for share in shares] == [50, 10, 90, 7]


def source(**said: object) -> dict:
    return {"rows": None, "skip": 0, "weight": None, "subset": None, "split": "train"} | said
