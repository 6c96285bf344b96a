"""What `posttrain status` says of jobs that run, were killed, stopped, or broke."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from posttrain.build import lease, status
from posttrain.build.lease import Lease

KEYS = {"a": "0" * 16, "b": "1" * 16, "c": "2" * 16}


def said(project: Project) -> list[str]:
    """The lines of `posttrain status`, by a process of its own."""
    command = [sys.executable, "-c", "from posttrain.cli import main; main()", "status"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def begin(name: str, **fields: object) -> None:
    work = Path("work/models") / f"{name}.{KEYS[name]}"
    work.mkdir(parents=True)
    status.write(work, target=f"models/{name}", state="running", **fields)


def test_status_tells_a_running_job_from_a_killed_and_a_broken_one(fresh: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(fresh.root)
    assert said(fresh) == ["nothing is being built here"]
    begin("a", step=4, max_steps=10, loss=0.5)
    begin("b", step=7, max_steps=10)
    begin("c")
    status.write(Path("work/models") / f"c.{KEYS['c']}", state="broken", why="the loss is nan at step 3")
    Path("store").mkdir()
    with Lease(Path("store"), KEYS["a"], "models/a"):
        running, killed, broken = said(fresh)
    assert running.split()[:2] == ["models/a", "running"]
    assert "step 4 of 10, loss 0.5" in running and f"process {os.getpid()}" in running
    assert killed.split()[:2] == ["models/b", "killed"] and "run snakemake again" in killed
    assert broken.split()[:2] == ["models/c", "broken"] and "the loss is nan at step 3" in broken
    assert lease.holder(Path("store"), KEYS["a"]) == {}
