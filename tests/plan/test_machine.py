"""`posttrain doctor` of one machine; tests/slurm/test_doctor.py has the cluster's part."""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from conftest import DPO, Project
from posttrain import doctor
from posttrain.doctor import launched, machine, scheduler
from posttrain.files import Refusal
from posttrain.plan import opened
from posttrain.plan.cost import Job

REMOTE = "data:\n  far:\n    sources:\n      - {hub: org/name, split: train, columns: [messages]}\n"


@pytest.fixture
def here(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout in which we stand, on a machine without GPUs."""
    monkeypatch.chdir(fresh.root)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return fresh


def planned(*asked: str) -> tuple[opened.Plan, list[Job]]:
    plan = opened.open_here()
    return plan, doctor.to_run(plan, list(asked) or [DPO])


def test_all_is_well_here_and_nothing_is_left(here: Project) -> None:
    before = {path for path in here.root.rglob("*") if ".posttrain/" not in str(path)}
    lines = here.posttrain("doctor", DPO).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", name] for name in ("versions", "GPUs", "store", "work", "hub", "all-reduce")
    ]
    assert f"2 processes on {socket.gethostname()}, gloo" in lines[-1]
    after = {path for path in here.root.rglob("*") if ".posttrain/" not in str(path)}
    assert after - before == {here.path(".posttrain")}
    assert not list(here.path(launched.FOLDER).iterdir())


def test_one_fault_is_told_beside_what_is_well_and_is_the_exit_status(here: Project) -> None:
    here.edit("torch==2.13.0", "torch==2.12.0", "envs/train.lock")
    here.path("config/launch/ddp.yaml").unlink()
    lines = here.posttrain("doctor", DPO, rc=1).splitlines()
    assert [line.split()[0] for line in lines] == ["WRONG", "ok", "ok", "ok", "ok", "WRONG"]
    assert "envs/train.lock says 2.12.0; install what is locked (make .venv/ready)" in lines[0]
    assert "there is no config/launch/ddp.yaml" in lines[-1]


def test_what_a_launch_or_a_tracker_wants_is_looked_for(here: Project) -> None:
    here.edit("runtime: {save_steps: 1,", "runtime: {tracking: trackio, save_steps: 1,")
    with pytest.raises(Refusal, match="runtime.tracking: trackio needs trackio, which is not installed here"):
        machine.versions(*planned())


def test_an_environment_that_the_jobs_want_and_that_is_not_there_is_named(here: Project) -> None:
    shipped = "evals:\n  e: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match,"
    page = here.path("config/recipes/micro.yaml")
    page.write_text(f"{page.read_text()}{shipped} sampling: {{n: 2, engine: vllm}}}}\n")
    plan, jobs = planned("evals/micro-sft/e")
    checks = dict(machine.checks(plan, jobs, slurm=False))
    with pytest.raises(Refusal, match="`make vllm` makes it"):
        checks["sample-cpu"]()
    plan.site["environments"] = {"sample-cpu": "vllm.sif"}
    with pytest.raises(Refusal, match="vllm.sif is an image, and there is no apptainer here"):
        checks["sample-cpu"]()
    assert "sample-cpu" not in dict(machine.checks(*planned(), slurm=False))


def test_fewer_gpus_than_a_job_asks_for_are_a_fault_of_who_builds_here(here: Project, monkeypatch) -> None:
    here.path("config/site.yaml").write_text("runtime: {micro-dpo: {gpus: 2, launch: ddp}}\n")
    _, jobs = planned()
    with pytest.raises(Refusal, match=f"0 here, and {DPO} asks for 2; build it with `--profile slurm`"):
        machine.cards(jobs, slurm=False)
    assert machine.cards(jobs, slurm=True) == "0 here; the most that a job asks for is 2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert machine.cards(jobs, slurm=False) == "2 here; the most that a job asks for is 2"


def test_a_folder_that_cannot_be_written_to_is_named(here: Project, monkeypatch) -> None:
    with pytest.raises(Refusal, match="rows.jsonl: cannot be written to: Not a directory; say another `store:`"):
        machine.folder(Path("rows.jsonl/store"))
    monkeypatch.setattr(machine, "SPARE", 1e18)
    with pytest.raises(Refusal, match=r"are free; free some \(`posttrain gc`\), or say another"):
        machine.folder(Path("store"))


@pytest.mark.skipif(
    not Path("/dev/shm").exists() or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev, reason="one file system"
)
def test_a_scratch_on_another_file_system_copies(here: Project) -> None:
    assert "at once" in machine.work(Path("store"))
    assert "each result is copied there" in machine.work(Path("/dev/shm/none"))


def test_the_hub_is_wanted_where_something_is_fetched_and_no_token_is_shown(here: Project, hub, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    _, jobs = planned()
    assert machine.hub(jobs) == "127.0.0.1 answers; no token is here"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert machine.hub(jobs) == "127.0.0.1 answers; a token is here"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://user:secret@127.0.0.1:1")
    assert machine.hub(jobs) == "127.0.0.1 cannot be reached (ConnectError), and nothing is to be fetched from it"
    here.path("config/recipes/far.yaml").write_text(REMOTE)
    with pytest.raises(Refusal, match=r"127.0.0.1 cannot be reached .*, which hub/.* is to be fetched from, of 1"):
        machine.hub(planned("data/far")[1])


def test_a_gated_model_wants_a_token(here: Project, hub, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    here.edit("base: micro-init", "base: google/gemma-7b")
    _, jobs = planned()
    with pytest.raises(Refusal, match="google/gemma-7b is gated, and no token is here: accept its terms, and set"):
        machine.hub(jobs)


def test_what_a_launch_said_is_told_by_its_first_fault(tmp_path: Path) -> None:
    log = 'W1123 launcher\n{"node": "n1", "rank": 0, "torch": "2.13.0", "gpus": 0, "card": "none"}\nTraceback\n'
    (tmp_path / launched.LOG).write_text(f"{log}RuntimeError: no route to host\nsrun: error: n2: task 1: Exited\n")
    heard = launched.heard(tmp_path)
    with pytest.raises(Refusal, match="two processes do not find each other: RuntimeError: no route to host"):
        heard.together()
    with pytest.raises(Refusal, match="n1 gave 1 and torch 2.13.0 sees 0: install CUDA's torch"):
        heard.cards(1)


@pytest.mark.parametrize(
    ("said", "hours"), [("UNLIMITED", math.inf), ("01:30:00", 1.5), ("2-00:00:00", 48), ("00:05:00", 1 / 12)]
)
def test_slurms_times_are_hours(said: str, hours: float) -> None:
    assert scheduler.hours_of(said) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("said", "count"), [("gpu:8", 8), ("gpu:h100:8(S:0-1)", 8), ("gpu:a100:2,gpu:v100:1,nvme:3", 3), ("(null)", 0)]
)
def test_slurms_gpus_are_counted(said: str, count: int) -> None:
    assert sum(map(int, scheduler.GPUS.findall(said))) == count


def test_states_that_slurm_forgets_at_once_are_a_fault_and_no_accounting_is_none() -> None:
    config = "SLURM_VERSION = 22.05.8\nJobRequeue = 1\nMinJobAge = {} sec\nAccountingStorageType = a/none"
    said = "22.05.8, MinJobAge 300 s, JobRequeue 1, AccountingStorageType none"
    assert scheduler.settings(config.format(300)) == said
    with pytest.raises(Refusal, match="MinJobAge is 10 s: of what a job failed is forgotten"):
        scheduler.settings(config.format(10))
    with pytest.raises(Refusal, match="its controller does not answer: `scontrol ping` says why"):
        scheduler.settings(None)


def test_a_doctor_loads_no_library_of_training() -> None:
    code = "import sys, posttrain.doctor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not set(done.stdout.split()) & {"torch", "transformers", "datasets", "numpy", "snakemake"}
