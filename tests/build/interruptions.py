"""A long build that is killed again and again, and what must hold each time. For test_chain.py and prove_long_kills.py.

Where kills.py aims at one point of one stage, this draws: after how many lines of the journal, and how long after the
last of them. Lines and not seconds, so that a busy machine is struck at the same places.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kills import assert_nothing_half_made

from conftest import Project
from posttrain.build import lease, status

HOW = ("everything", "snakemake", "a supervisor", "SIGTERM")  # the last to the whole group, as a scheduler sends it
OVER = 120  # seconds in which all that was struck must be gone


@dataclass
class Kill:
    number: int
    how: str
    made: int = 0  # artifacts that stood by then
    doing: str = ""  # what was being made, and how far it was
    seconds: float = 0  # from the start of the run that it ended


def build(project: Project, *asked: str, kills: int, seed: int, like: Project) -> Iterator[Kill]:
    """Build what is asked for, killed so many times on the way; `like` is an undisturbed build of it."""
    dice, lines, pause = random.Random(seed), len(like.journal()), usual_seconds(like.journal())
    for number in range(kills):
        kill, began = Kill(number, HOW[number % len(HOW)]), time.monotonic()
        process = start(project, *asked)
        wait_for_lines(project, process, dice.randint(1, lines // kills))
        time.sleep(dice.uniform(0, pause))
        strike(kill, project, process, dice)
        process.wait(timeout=600)
        assert process.returncode, f"{kill}: the build was over before it"
        project.wait(lambda: not living(project), OVER)
        assert_nothing_half_made(project)
        kill.seconds = time.monotonic() - began
        yield kill
    assert start(project, *asked).wait() == 0, said(project)
    assert_nothing_left(project)


def start(project: Project, *asked: str) -> subprocess.Popen:
    """Into a file: nobody reads a pipe here, and a full one would hold the build up."""
    with open(project.path("said.log"), "w") as log:
        return project.start(*asked, into=log)


def said(project: Project) -> str:
    return project.path("said.log").read_text()


def usual_seconds(journal: list[dict]) -> float:
    """How long it takes, on average, from the start of a program to the link of what it made."""
    when = {(line["event"], line["target"]): datetime.fromisoformat(line["time"]) for line in journal}
    took = [when["link", target] - began for (event, target), began in when.items() if event == "start"]
    return sum(time.total_seconds() for time in took) / len(took)


def wait_for_lines(project: Project, process: subprocess.Popen, more: int) -> None:
    """Wait until the journal has so many lines more."""
    goal = len(project.journal()) + more
    while len(project.journal()) < goal:
        assert process.poll() is None, said(project)
        time.sleep(0.05)


def strike(kill: Kill, project: Project, process: subprocess.Popen, dice: random.Random) -> None:
    """Strike while something is being made."""
    project.wait(lambda: supervisors(project) or process.poll() is not None)
    making = supervisors(project)
    kill.made, kill.doing = (
        len(project.standing()),
        ", ".join(f"{path}{step(project, path)}" for path in sorted(making)),
    )
    if kill.how == "everything":
        while pids := living(project):
            end(*pids)
    elif kill.how == "snakemake":
        end(process.pid)
    elif kill.how == "a supervisor":
        end(dice.choice([making[path] for path in sorted(making)]))
    else:
        os.killpg(process.pid, signal.SIGTERM)


def living(project: Project) -> list[int]:
    """The processes that work in a checkout."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and works_in(project.root, name)]


def works_in(folder: Path, pid: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:  # it is gone, or a zombie
        return False


def supervisors(project: Project) -> dict[str, int]:
    """The supervisors that are alive, by their targets."""
    found = {}
    for pid in living(project):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "posttrain.build" in words:
            found[words[-2]] = pid
    return found


def step(project: Project, target: str) -> str:
    sentence = status.sentence(project.status(target))
    return f" ({sentence})" if sentence else ""


def end(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def assert_nothing_left(project: Project) -> None:
    """What is whole stands alone: no process, no lease, no work."""
    assert_nothing_half_made(project)
    assert living(project) == []
    keys = [place.name for place in project.path("store/.leases").iterdir()]
    assert [key for key in keys if lease.holder(project.path("store"), key)] == []
    assert list(project.path("work").rglob(status.NAME)) == []
