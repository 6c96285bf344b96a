"""What `posttrain status` says of jobs that run, were killed, stopped, or broke."""

import os
import re
import time
from pathlib import Path

import pytest

from conftest import DPO, Project
from posttrain import forkserver
from posttrain.build import lease, sent, status
from posttrain.build.lease import Lease

KEYS = {"a": "0" * 16, "b": "1" * 16, "c": "2" * 16}


def said(project: Project, **env: str) -> list[str]:
    """The lines of `posttrain status`, by a process of its own."""
    return re.sub(r", \d+ s ago\)", ", now)", project.posttrain("status", **env)).splitlines()


def begin(name: str, **fields: object) -> None:
    work = Path("work/models") / f"{name}.{KEYS[name]}"
    work.mkdir(parents=True)
    status.write(work, target=f"models/{name}", **{"state": "running"} | fields)


def queue(folder: Path, *lines: str) -> str:
    """A PATH whose squeue says these lines, and says that it was asked."""
    folder.mkdir(exist_ok=True)
    command = folder / "squeue"
    command.write_text(f"#!/bin/sh\necho asked >> {folder}/asked\ncat <<'EOF'\n{chr(10).join(lines)}\nEOF\n")
    command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


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


def test_the_time_left_is_told_by_the_steps_of_this_run(fresh: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(fresh.root)
    begins = {"max_steps": 1000, "from_step": 400, "from_time": time.time() - 600}
    begin("a", step=500, **begins)
    begin("b", step=400, **begins)
    Path("store").mkdir()
    with Lease(Path("store"), KEYS["a"], "models/a"), Lease(Path("store"), KEYS["b"], "models/b"):
        going, begun = said(fresh)
    assert "step 500 of 1000, 50 min left" in going, going
    assert "step 400 of 1000  (" in begun, begun


def test_a_trainer_says_from_where_it_goes_on(built: Project):
    built.edit("beta: 0.1,", "beta: 0.1, max_steps: 1000,")
    built.start(DPO, **{forkserver.FORKSERVER: forkserver.opened()})
    built.wait(lambda: built.status(DPO).get("step", 0) >= 2)
    found = built.status(DPO)
    assert found["from_step"] == 0
    assert 0 < status.left(found) < 3600


def test_what_waits_in_the_queue_is_a_line_with_its_reason(
    fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(fresh.root)
    begin("a", state="resume", step=4, max_steps=10, slurm_job="11")
    begin("b", step=7, max_steps=10)
    sent.remember("11", {"models/a": "0"})
    sent.remember("12", {"data/x": "1", "data/y": "2", "tokens/z": "3"})
    sent.remember("13_2", {"shards/x.2of3": "4"})
    sent.remember("14", {"models/gone": "5"})
    path = queue(
        tmp_path / "bin", "11|PENDING|BeginTime|", "12|PENDING|Resources|", "13_2|RUNNING|None|n3", "99|PENDING|Other|"
    )
    assert said(fresh, PATH=path) == [
        "models/a                         waits    step 4 of 10  (SLURM job 11, BeginTime)",
        "models/b                         killed   step 7 of 10  (run snakemake again to go on, now)",
        "data/x and 2 more                waits    (SLURM job 12, Resources)",
        "shards/x.2of3                    begins   (SLURM job 13_2 on n3)",
    ]


def test_a_job_says_its_nodes(fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(fresh.root)
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    begin("a", step=4, max_steps=10)
    sent.remember("11", {"models/a": "0"})
    Path("store").mkdir()
    with Lease(Path("store"), KEYS["a"], "models/a"):
        (line,) = said(fresh, PATH=queue(tmp_path / "bin", "11|RUNNING|None|n[1-4]"))
        (alone,) = said(fresh, PATH=queue(tmp_path / "bin"))
    assert line == "models/a                         running  step 4 of 10  (SLURM job 11 on n[1-4], now)"
    assert f"(SLURM job 11 on {lease.socket.gethostname()}, " in alone


def test_without_slurm_no_queue_is_asked(fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(fresh.root)
    begin("a", step=4, max_steps=10)
    path = queue(tmp_path / "bin", "11|PENDING|Resources|")
    assert len(said(fresh, PATH=path)) == 1
    assert not (tmp_path / "bin/asked").exists()
    sent.remember("11", {"models/b": "6"})
    assert len(said(fresh, PATH=path)) == 2
    assert (tmp_path / "bin/asked").exists()


def test_an_evaluation_of_a_hub_model_is_seen(fresh: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(fresh.root)
    work = Path(f"work/evals/org/name/suite.{KEYS['a']}")
    work.mkdir(parents=True)
    status.write(work, target="evals/org/name/suite", state="broken", why="of something")
    (line,) = said(fresh)
    assert line.split()[:2] == ["evals/org/name/suite", "broken"]
