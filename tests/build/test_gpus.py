"""GPUs of a machine without a scheduler: each job has its own, and waits for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DPO, Project
from posttrain.build import gpus
from posttrain.files import Refusal

HOLD = """
import sys, time
from pathlib import Path
from posttrain.build import gpus
gpus.LOCKS = Path(sys.argv[1])
with gpus.claimed(int(sys.argv[2])) as mine:
    print(mine["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def a_machine_of_four(tmp_path, monkeypatch):
    smi = tmp_path / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nseq 0 3\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(gpus, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(gpus, "ASK_AGAIN", 0.05)


@pytest.fixture
def hold(tmp_path):
    """Starts another job that claims GPUs, and says which it got."""
    jobs = []

    def hold(count: int) -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-c", HOLD, tmp_path / "locks", str(count)]
        jobs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return jobs[-1], jobs[-1].stdout.readline().strip()

    yield hold
    for job in jobs:
        job.kill()
        job.wait()


def test_each_job_has_gpus_of_its_own(hold):
    with gpus.claimed(1) as mine:
        assert mine == {"CUDA_VISIBLE_DEVICES": "0"}
        assert hold(2)[1] == "1,2"


def test_a_job_waits_for_gpus_and_a_killed_one_frees_its_own(hold):
    other, theirs = hold(3)
    assert theirs == "0,1,2"
    assert gpus.claim(gpus.visible(), 2, []) == []
    with gpus.claimed(1) as mine:
        assert mine["CUDA_VISIBLE_DEVICES"] == "3", "what was claimed in vain was not given back"
    other.kill()
    with gpus.claimed(4) as mine:
        assert mine["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_more_gpus_than_there_are_is_refused_at_once():
    gpus.check({"gpus": 4})
    with pytest.raises(Refusal, match=r"runtime\.gpus: 5 are asked for, and this machine has 4"):
        gpus.check({"gpus": 5})


def test_what_the_user_made_visible_is_all_there_is(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7d1")
    with gpus.claimed(2) as mine:
        assert mine["CUDA_VISIBLE_DEVICES"] == "2,GPU-7d1"


def test_slurm_has_handed_out_its_gpus_already(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.claimed(8) as mine:
        assert mine == {}


ON_THIS_MACHINE = ("--profile", "profiles/local")
WIDE = """\
  wide:
    extends: micro-dpo
    train: {beta: 0.2}
    runtime: {gpus: 8, launch: ddp}
"""


@pytest.mark.parametrize("dry", [("-n",), ()], ids=["dry", "meant"])
def test_a_target_of_more_gpus_than_there_are_is_refused_before_anything_is_built(fresh, dry):
    fresh.add(WIDE)
    said = fresh.refused("models/wide", *ON_THIS_MACHINE, *dry).splitlines()[-1]
    assert said == (
        "models/wide: runtime.gpus: 8 are asked for, and there are 4 (`--resources gpu`); "
        "lower it in the recipe, or in config/site.yaml"
    )
    assert fresh.started() == []
    assert "train_dpo" in fresh.make("-n", "models/wide")[0], "elsewhere there may be more"


def test_what_stands_needs_no_gpus(built, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    built.edit("runtime: {save_steps: 1,", "runtime: {gpus: 2, launch: ddp, save_steps: 1,")
    assert "Nothing to be done" in built.make(DPO, *ON_THIS_MACHINE)[0]
    built.edit("beta: 0.1,", "beta: 0.2,")
    assert "2 are asked for, and there are 1 (`--resources gpu`)" in built.refused("-n", DPO, *ON_THIS_MACHINE)


TRIES = """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {n: 2}
    runtime: {gpus: 1, shards: 3}
"""
SLEEPER = """\
import os, time
from pathlib import Path
Path(f"seen.{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
time.sleep(600)
"""


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_jobs_at_once_have_gpus_of_their_own_and_die_with_their_snakemake(built: Project, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where other jobs of this machine do not look
    monkeypatch.setattr(gpus, "LOCKS", tmp_path / gpus.LOCKS.name)
    built.add(TRIES)
    built.path("scripts/sample_shard.py").write_text(SLEEPER)
    before = len(built.started())
    main = built.start("completions/tries", *ON_THIS_MACHINE)
    built.wait(lambda: len(list(built.root.glob("seen.*"))) == 2)
    seen = {path.suffix[1:]: path.read_text() for path in built.root.glob("seen.*")}
    assert sorted(seen.values()) == ["1", "3"]
    assert len(built.started()) == before + 2
    main.kill()
    with gpus.claimed(2) as mine:
        assert mine["CUDA_VISIBLE_DEVICES"] == "1,3"
    built.wait(lambda: not any(map(alive, seen)))
