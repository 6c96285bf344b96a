"""GPUs of a machine without a scheduler: each job has its own, and waits for them."""

import os
import subprocess
import sys

import pytest

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
    gpus.check(4)
    with pytest.raises(Refusal, match="5 are asked for, and this machine has 4"):
        gpus.check(5)


def test_what_the_user_made_visible_is_all_there_is(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7d1")
    with gpus.claimed(2) as mine:
        assert mine["CUDA_VISIBLE_DEVICES"] == "2,GPU-7d1"


def test_slurm_has_handed_out_its_gpus_already(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.claimed(8) as mine:
        assert mine == {}
