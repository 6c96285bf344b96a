"""What `posttrain status` says: how far each work folder is, and what waits in SLURM's queue."""

import time
from collections.abc import Iterator
from pathlib import Path

from posttrain.build import gc, lease, sent, status
from posttrain.build.sent import Sent
from posttrain.files import read_json
from posttrain.words import lasting

AGAIN = {"resume": "run snakemake again to go on", "killed": "run snakemake again to go on"}
OFTEN, SELDOM = 2, 10  # seconds between looks; a scheduler that many ask is asked seldom


def lines(work: Path, store: Path) -> Iterator[str]:
    """A line for each work folder, by name, and for each job of this checkout in SLURM's queue that has none."""
    jobs = list(sent.live())
    by_target = {path: job for job in jobs for path in job.targets}
    shown = []
    for folder in sorted(gc.work_folders(work)):
        if said := status.read(folder):
            job = by_target.get(said["target"])
            shown.append(job)
            yield line(said, lease.holder(store, folder.name.rpartition(".")[2]), job)
    for job in jobs:
        if job not in shown:
            first, *others = job.targets
            yield row(f"{first} and {len(others)} more" if others else first, *queued(job))


def line(said: dict, owner: dict, job: Sent | None) -> str:
    """`models/x  running  step 4 of 10, loss 0.5, 3 min left  (SLURM job 12 on n1, 3 s ago)`.

    Args:
        said: the status of a work folder.
        owner: who holds its lease, or {}.
        job: what SLURM has in its queue to build it.
    """
    if job and not owner:  # it was sent back into the queue, or another was sent
        state, about = queued(job)
        return row(said["target"], state, about, status.sentence(said))
    state = said["state"] if owner or said["state"] != "running" else "killed"
    at = status.sentence(said) or ("at work" if state == "running" else "")
    if owner and state == "running" and (left := status.left(said)):
        at += f", {lasting(left)} left"
    about = place(owner, job) if owner else AGAIN.get(state) or said.get("why", "")
    return row(said["target"], state, f"{about}, {lasting(time.time() - said['time'])} ago", at)


def queued(job: Sent) -> tuple[str, str]:
    """How a job that builds nothing yet stands: `waits`, and `SLURM job 12, Resources`."""
    if job.state == "PENDING":
        return "waits", f"SLURM job {job.number}, {job.reason}"
    return "begins", f"SLURM job {job.number} on {job.nodes}"


def place(owner: dict, job: Sent | None) -> str:
    """Where a target is built."""
    if not (number := owner.get("slurm_job")):
        return owner["name"]
    return f"SLURM job {number} on {job.nodes if job else owner['machine'].partition(':')[0]}"


def row(target: str, state: str, about: str, at: str = "") -> str:
    return f"{target:32} {state:8} {at}{'  ' if at else ''}({about})"


def pause() -> int:
    """Seconds until the next look."""
    return SELDOM if any(sent.FOLDER.glob("*.json")) else OFTEN


def store_of_newest_plan() -> Path:
    plans = sorted(Path(".posttrain/plan").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return Path(read_json(plans[-1])["store"] if plans else "store")
