"""Processes that share a stage's work."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from conftest import Project, clean_environment
from posttrain.build.pool import AHEAD, spread
from posttrain.files import Refusal

SPREAD = "import time; from posttrain.build.pool import spread; list(spread(time.sleep, [99, 99], 2))"


def workers(of: int) -> list[int]:
    """The processes that a process has spawned to share its work."""
    pids = [int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_who_is_only_starting_does_not_outlive_a_killed_parent(tmp_path):
    """It takes a process a while until it asks to die with its parent, who may be dead by then."""
    process = subprocess.Popen([sys.executable, "-c", SPREAD], env=clean_environment())
    project = Project(tmp_path)
    project.wait(lambda: len(workers(process.pid)) == 2)
    left = workers(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    project.wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), 30)


def noted(number: int, folder: Path) -> None:
    """The first is refused; each other leaves a file, and takes a while."""
    if number == 0:
        raise Refusal("no")
    (folder / str(number)).touch()
    time.sleep(0.5)


def test_a_refusal_waits_for_nothing_that_has_not_begun(tmp_path):
    with pytest.raises(Refusal):
        list(spread(partial(noted, folder=tmp_path), range(100), 2))
    assert len(list(tmp_path.iterdir())) < 2 * AHEAD - 1, "all that was handed out was made"
