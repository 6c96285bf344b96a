"""Processes that share a stage's work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from conftest import Project, clean_environment

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
