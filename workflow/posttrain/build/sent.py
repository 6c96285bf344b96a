"""The jobs that this checkout has sent to SLURM: what each was to build, and how it ended, by its own words.

.posttrain/sent/<number>.json is written by the Snakemake that sent a job, and .posttrain/sent/<number>.end.json by a
job that failed: one that was killed has said nothing.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrain.build import slurm
from posttrain.files import read_json, write_json

FOLDER = Path(".posttrain/sent")
QUEUE = "%i|%T|%r|%N"  # squeue: number, state, reason, nodes
FORGOTTEN = 3600  # seconds after which a job that SLURM does not list any more, and its last words, are forgotten


@dataclass(frozen=True)
class Sent:
    number: str
    targets: dict[str, str]  # each with its intent
    state: str  # PENDING, RUNNING, …
    reason: str  # why it waits
    nodes: str


def ours() -> bool:
    """Whether this process is part of a job that this checkout sent: a person's own allocation is not ours to end."""
    return slurm.job() is not None and (FOLDER / f"{slurm.job()}.json").exists()


def remember(number: str, targets: dict[str, str]) -> None:
    forget(number)  # another cluster's, or one before it was set up anew
    write_json(FOLDER / f"{number}.json", {"targets": targets, "time": time.time()})


def end(number: str, target: str, kind: str | None, why: str) -> None:
    """Said by a job itself, in the end."""
    write_json(FOLDER / f"{number}.end.json", {"target": target, "kind": kind, "why": why})


def begin(number: str) -> None:
    """Take back what a job said before it was put back into the queue."""
    (FOLDER / f"{number}.end.json").unlink(missing_ok=True)


def words(number: str) -> dict:
    """What a job that failed has said in the end; {} if it could not."""
    return read_json(FOLDER / f"{number}.end.json")


def forget(number: str) -> None:
    for name in (f"{number}.json", f"{number}.end.json"):
        (FOLDER / name).unlink(missing_ok=True)


def live() -> Iterator[Sent]:
    """The jobs of this checkout that wait or run, by SLURM's word; none if it does not answer."""
    records = sorted(FOLDER.glob("*[0-9].json"))
    queue = queued() if records else None
    for path in records if queue is not None else []:
        if path.stem in queue:
            yield Sent(path.stem, read_json(path).get("targets", {}), *queue[path.stem])
        elif time.time() - last_heard(path.stem) > FORGOTTEN:
            forget(path.stem)


def last_heard(number: str) -> float:
    """When a job was sent, or has said its last words."""
    files = [FOLDER / f"{number}.json", FOLDER / f"{number}.end.json"]
    return max(file.stat().st_mtime for file in files if file.exists())


def queued() -> dict[str, tuple[str, ...]] | None:
    """The user's jobs in the queue by number; None if the controller does not answer."""
    lines = slurm.ask("squeue", "--me", "--array", "--noheader", f"--format={QUEUE}")
    if lines is None:
        return None
    return {line.split("|")[0]: tuple(line.split("|")[1:]) for line in lines.splitlines() if "|" in line}
