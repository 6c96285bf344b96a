"""How a job stands: work/<kind>/<name>.<key>/status.json, written by the job, read by whoever waits for it.

A launcher does not pass its ranks' exit codes on, so this file says how a stage ended: `done`, `resume` (stopped
on request, with a checkpoint) or `broken`.
"""

import time
from pathlib import Path
from typing import Any

from posttrain.files import read_json, write_json

NAME = "status.json"


def write(work: Path, **said: Any) -> None:
    """Add to what the status says."""
    write_json(work / NAME, {**read(work), **said, "time": time.time()})


def read(work: Path) -> dict:
    return read_json(work / NAME)


def sentence(status: dict) -> str:
    """`step 400 of 1000, loss 0.52`, or as much of it as is known."""
    parts = []
    if status.get("max_steps"):
        parts.append(f"step {status.get('step', 0)} of {status['max_steps']}")
    if "loss" in status:
        parts.append(f"loss {status['loss']:.4g}")
    return ", ".join(parts)
