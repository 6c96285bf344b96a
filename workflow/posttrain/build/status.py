"""How a job stands: work/<kind>/<name>.<key>/status.json, written by the job's first rank and its supervisor in turn,
read by whoever waits for it.

A launcher does not pass its ranks' exit codes on, so this file says how a stage ended: `done`, `resume` (stopped
on request, with what the next run goes on from) or `broken`.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from posttrain.files import read_json, write_json

NAME = "status.json"
FAILURE = "failure.json"  # the first of several ranks to break; only one can make it
OUT_OF_MEMORY = "oom"  # a kind of failure, which less at once may mend
# Kinds that another job mends, with more of the first two; of the third on another machine.
MEMORY, TIME, MACHINE, STOPPED = "memory", "time", "machine", "stopped"


def write(work: Path, **said: Any) -> None:
    """Add to what the status says."""
    write_json(work / NAME, {**read(work), **said, "time": time.time()})


def fail(work: Path, why: str, kind: str | None = None) -> None:
    """Say why a job broke, unless another rank has: those that break after it only find its connection closed."""
    with suppress(FileExistsError), open(work / FAILURE, "x") as file:
        json.dump({"state": "broken", "why": why, "kind": kind}, file)


def read(work: Path) -> dict:
    """What a job said last; a rank's failure stands, whatever another says after it."""
    said = read_json(work / NAME)
    return said if said.get("state") == "broken" else {**said, **read_json(work / FAILURE)}


def clear(work: Path) -> None:
    """Forget what was said of a run before."""
    for name in (NAME, FAILURE):
        (work / name).unlink(missing_ok=True)


def spent(said: dict) -> float:
    """The seconds that a job ran, those of earlier runs with it, as far as they said anything."""
    return said.get("spent", 0) + (said["time"] - said["began"] if "began" in said else 0)


def left(said: dict) -> float | None:
    """The seconds until a training's last step, at the rate of this run of it; None if that has no step yet."""
    done = said.get("step", 0) - said.get("from_step", float("inf"))
    if done <= 0:
        return None
    return (said["max_steps"] - said["step"]) * (said["time"] - said["from_time"]) / done


def sentence(status: dict) -> str:
    """`step 400 of 1000, loss 0.52`, or as much of it as is known."""
    parts = []
    if status.get("max_steps"):
        parts.append(f"step {status.get('step', 0)} of {status['max_steps']}")
    if "loss" in status:
        parts.append(f"loss {status['loss']:.4g}")
    return ", ".join(parts)
