"""GPUs of this machine for one job, where no scheduler hands them out."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from posttrain.build.launch import said_at
from posttrain.files import Refusal

LOCKS = Path(tempfile.gettempdir()) / f"posttrain-gpus-{os.getuid()}"  # of one user: all jobs of all checkouts
ASK_AGAIN = 5  # seconds


def visible() -> list[str]:
    """The GPUs that this process may use, by the numbers or names CUDA_VISIBLE_DEVICES takes."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name for name in said.split(",") if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


def check(runtime: dict) -> None:
    """Raises: Refusal, if this machine has not as many GPUs as a target's runtime asks for."""
    count = runtime.get("gpus", 0)
    if count and "SLURM_JOB_ID" not in os.environ and len(there := visible()) < count:
        raise Refusal(
            f"{said_at(runtime)}.gpus: {count} are asked for, and this machine has {len(there)}; "
            "lower it in the recipe, or in config/site.yaml"
        )


@contextlib.contextmanager
def claimed(count: int) -> Iterator[dict[str, str]]:
    """The environment of a job that has so many GPUs to itself; waits until they are free.

    Under SLURM they are the job's already. The claim is a lock on a file for each GPU, which the kernel drops with
    the process that holds it.
    """
    if not count or "SLURM_JOB_ID" in os.environ:
        yield {}
        return
    held: list[IO] = []
    while not (mine := claim(visible(), count, held)):
        time.sleep(ASK_AGAIN)
    try:
        yield {"CUDA_VISIBLE_DEVICES": ",".join(mine)}
    finally:
        for lock in held:
            lock.close()


def claim(there: list[str], count: int, held: list[IO]) -> list[str]:
    """As many free GPUs as asked for, or none: half a claim kept would wait for another half for ever."""
    LOCKS.mkdir(exist_ok=True)
    mine = []
    for name in there:
        lock = open(LOCKS / name, "a")  # noqa: SIM115 (held as long as the GPU is)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        held.append(lock)
        mine.append(name)
        if len(mine) == count:
            return mine
    while held:
        held.pop().close()
    return []
