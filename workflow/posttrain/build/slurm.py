"""What SLURM says of jobs, and what a job asks of it. By commands: a binding is of one version of SLURM."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import NoReturn

FAILED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT")
LOST = ("NODE_FAIL", "PREEMPTED")  # of a job that SLURM may put back into the queue
ASK_AGAIN = 60  # seconds: a job's limit can be changed while it runs
PATIENCE = 120  # seconds for which a controller that does not answer is asked again


def job() -> str | None:
    """The number of the SLURM job that this process is part of; of an array's, `12_3`, as squeue has it."""
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def ask(*command: str, timeout: float = 30) -> str | None:
    """What a command of SLURM's prints; None if it is not there, or the controller does not answer."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def fields(text: str) -> dict[str, str]:
    """`scontrol --oneliner show …` by name."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def span(number: str) -> tuple[float, float] | None:
    """When SLURM began a job and when it will end it, in seconds since the epoch; None if it does not say."""
    said = fields(ask("scontrol", "--oneliner", "show", "job", number) or "")
    try:
        began, ends = (time.mktime(time.strptime(said[key], "%Y-%m-%dT%H:%M:%S")) for key in ("StartTime", "EndTime"))
    except (KeyError, ValueError):  # Unknown
        return None
    return began, ends


@dataclass
class Clock:
    """When this SLURM job must have saved."""

    grace: float  # seconds before its end; of a short job at most half of its time
    until: float | None = None
    asked: float = field(default=float("-inf"))

    def over(self) -> bool:
        """Whether the time has come."""
        if time.monotonic() - self.asked > ASK_AGAIN:
            self.asked = time.monotonic()
            if said := span(job()):
                began, ends = said
                self.until = ends - min(self.grace, (ends - began) / 2)
        return self.until is not None and time.time() > self.until


class TimeIsOver(SystemExit):
    """Raised by a job that has saved because SLURM is about to end it."""


def requeue() -> NoReturn:
    """Send this job back into the queue under its own number; SLURM ends this run of it, and later begins another."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    until = time.monotonic() + PATIENCE
    while ask("scontrol", "requeue", job()) is None:
        if time.monotonic() > until:
            sys.exit(os.EX_TEMPFAIL)  # it may not be requeued; Snakemake sends another
        time.sleep(1)
    time.sleep(PATIENCE)  # SIGTERM comes first
    sys.exit(os.EX_TEMPFAIL)
