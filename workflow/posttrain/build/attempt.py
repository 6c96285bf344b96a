"""A run of a stage's program in its work folder, to its end, to a stop, or to what it broke on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from posttrain.build import gpus, launch, processes, record, sent, slurm, status, store
from posttrain.build.processes import STOP_SIGNALS
from posttrain.files import Refusal

LOOK = 1  # seconds between looks at the clock
RESUME = os.EX_TEMPFAIL  # 75: stopped, with what the same command goes on from
CHECKPOINTS = "checkpoints/checkpoint-*/complete.json"
KEPT = (CHECKPOINTS, "kept/*/*.json", "download/*/*")  # in a work folder: what a run goes on from


class Failed(Refusal):
    """A failure, and the kind of it that another job may mend; None if it would fail like this one."""

    def __init__(self, why: str, kind: str | None = None) -> None:
        super().__init__(why)
        self.kind = kind


class Cut(Refusal):
    """A stop from without, of a run that has kept nothing."""


class Attempt:
    """Runs the program of one target."""

    def __init__(self, path: str, target: dict, work: Path, key: str, grace: float) -> None:
        """Args: grace: seconds before the end of a SLURM job at which what can be gone on with is stopped."""
        self.path, self.target, self.work, self.key, self.grace = path, target, work, key, grace
        self.stopping = self.time_is_over = False
        self.child: subprocess.Popen | None = None

    def begin(self) -> None:
        """Take away what an earlier try has half made, and its last words."""
        store.clear(self.work / "files")
        said = status.read(self.work)
        times, spent = said.get("resumes", 0) + bool(kept(self.work)), status.spent(said)
        status.clear(self.work)
        about = {"resumes": times, "spent": spent, "pid": os.getpid(), "slurm_job": slurm.job()}
        status.write(self.work, target=self.path, state="running", **about)

    def run(self, command: list[str], environment: dict[str, str]) -> None:
        """Run the stage's program to its end, again with less at once where memory runs out.

        On a signal, ask it to stop at the end of its step.
        """
        (self.work / "stop").unlink(missing_ok=True)
        before = kept(self.work)
        with gpus.claimed(self.target["runtime"].get("gpus", 0)) as mine:
            self.start(command, environment | mine)
            while self.shrinks():
                self.begin()
                self.start(command, environment | mine)
        for number in STOP_SIGNALS:  # what is left is to publish, which a stop would only repeat
            signal.signal(number, signal.SIG_IGN)
        if status.read(self.work).get("state") != "done":
            self.give_up(self.child.returncode, advanced=kept(self.work) != before)

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        """Start the stage's program, and wait for its end."""
        record.note("start", self.path, self.key)
        status.write(self.work, began=time.time())
        self.child = None
        for number in STOP_SIGNALS:
            signal.signal(number, lambda number, _: self.stop(number))
        self.child = subprocess.Popen(
            command, env=environment, preexec_fn=processes.ignore_stop_signals, start_new_session=True
        )
        if self.stopping:  # asked to while it began
            self.stop(signal.SIGTERM)
        self.wait(self.child)

    def wait(self, child: subprocess.Popen) -> None:
        """Wait for the stage's program; stop what can be gone on with in time, where SLURM is about to end the job."""
        clock = slurm.Clock(self.grace)
        while True:
            try:
                child.wait(timeout=LOOK if slurm.job() else None)
                return
            except subprocess.TimeoutExpired:
                due = not self.stopping and sent.ours() and clock.over()
                if due and (self.trains or kept(self.work)):
                    self.time_is_over = True
                    self.stop(signal.SIGTERM)

    def stop(self, number: int) -> None:
        """Ask a trainer to save and stop; another stage ends at once, and at a second Ctrl-C a trainer too.

        At a second SIGTERM it does not: SLURM sends it to all of a step's processes, and srun once more.
        """
        again, self.stopping = self.stopping, True
        (self.work / "stop").touch()
        if self.child and ((again and number == signal.SIGINT) or not self.trains):
            self.child.kill()

    @property
    def trains(self) -> bool:
        """Whether the program saves when it is asked to stop."""
        return "launch" in self.target["runtime"]

    def shrinks(self) -> bool:
        """Whether a training has run out of memory, and is to be tried with less at once."""
        if self.stopping or status.read(self.work).get("kind") != status.OUT_OF_MEMORY:
            return False
        if why := launch.too_large(self.target):
            status.write(self.work, why=why)
            return False
        if "gradient_accumulation_steps" not in self.target["runtime"]:  # no training
            return False
        try:
            print(f"{self.path}: {launch.shrink(self.work, self.target)}", flush=True)
        except Refusal as refusal:
            status.write(self.work, why=str(refusal))
            return False
        return True

    def give_up(self, returncode: int, advanced: bool) -> NoReturn:
        """End with why the stage's program was not done, and whether the next run goes on from what it did.

        Args:
            advanced: whether this run has kept anything that was not there.

        Raises: slurm.TimeIsOver, if the next run is this same job's; Cut; Failed.
        """
        said = status.read(self.work)
        stopped = self.stopping and said.get("state") != "broken"
        if said.get("state") == "resume" or (stopped and kept(self.work)):
            self.pause(status.sentence(said) or "work", advanced)
        if stopped:
            why = "was stopped, and has kept nothing to go on from; run again to begin anew"
            status.write(self.work, state="broken", why=why)
            raise Cut(f"{self.path}: {why}")
        why, kind = said.get("why"), said.get("kind")
        if said.get("state") != "broken":
            why, kind = f"its program ended with status {returncode}", status.MACHINE
        status.write(self.work, state="broken", why=why)
        if shutil.disk_usage(self.work).free < 1 << 20 or "No space left" in str(why):
            why, kind = f"no space left on the disk of {self.work}; free some and run again, it will go on", None
        raise Failed(f"{self.path}: {why}", kind)

    def pause(self, at: str, advanced: bool) -> NoReturn:
        """End with something to go on from."""
        status.write(self.work, state="resume")
        if not self.time_is_over:
            print(f"{self.path}: stopped at {at}; run again to go on from what it kept", flush=True)
            sys.exit(RESUME)
        if advanced:
            print(f"{self.path}: stopped at {at}, for the job's time is over; goes back into the queue", flush=True)
            raise slurm.TimeIsOver(RESUME)
        mend = "give it more hours, or lower save_steps or block_size"
        raise Failed(f"{self.path}: its time was over before it had kept anything more; {mend}", status.TIME)


def kept(work: Path) -> set[Path]:
    """What a work folder has that the next run goes on from."""
    return {path for pattern in KEPT for path in work.glob(pattern)}
