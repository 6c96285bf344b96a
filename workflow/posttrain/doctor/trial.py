"""One small job of two processes, on two nodes where there are two, that look at what builds will need there."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from posttrain.build import environments, processes, slurm
from posttrain.doctor import launched, scheduler
from posttrain.doctor.launched import PROCESSES, names
from posttrain.files import Refusal
from posttrain.plan import asked
from posttrain.plan.cost import Job
from posttrain.plan.opened import Plan
from posttrain.words import lasting, volume

MINUTES = 10  # for which it may run
MEMORY = 8000  # MB of a node
LOOK = 1  # seconds
LATE = 60  # seconds after which a shared file system shows what another node wrote
ENDED = ("COMPLETED", *slurm.FAILED, *slurm.LOST)


class Trial:
    def __init__(self, plan: Plan, jobs: list[Job], wait: float) -> None:
        """Args: wait: minutes for which it may be in the queue."""
        self.plan, self.wait = plan, wait
        self.runtime = shape(plan, any(job.gpus for job in jobs))
        self.heard: launched.Heard | None = None
        self.unseen: list[Path] = []  # folders in which what the nodes wrote is not seen here

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "job", self.run
        if self.heard and self.heard.seen:
            yield "its nodes", self.nodes
            yield "its folders", self.folders
            if self.runtime["gpus"]:
                yield "its GPUs", self.cards
            yield "its hub", self.hub
            yield "its sum", self.heard.together

    def run(self) -> str:
        """Send the job, and hear what it says."""
        shared = (self.plan.store.root, Path("work"))
        with launched.opened() as place, marked(*shared) as folders:
            launched.ask(place, self.runtime, self.plan, folders)
            number, log = self.send(place), place / launched.LOG
            try:
                said = self.ended(number)
            finally:
                slurm.ask("scancel", number)
            if not shown(log):
                raise Refusal(
                    f"SLURM job {number} ({said['state']} on {said['nodes']}) left no {log}: is this checkout on a "
                    "file system that all nodes see?"
                )
            self.heard = launched.heard(place)
            self.unseen = [folder for folder in folders if not all(shown(folder / rank) for rank in self.heard.ranks)]
            where = f"SLURM job {number} on {said['nodes']}"
            if said["state"] != "COMPLETED":
                raise Refusal(f"{where}: {said['state']}: {self.heard.fault()} ({log})")
            log.unlink()
        return f"{where}, which waited {lasting(said['waited'])}"

    def send(self, place: Path) -> str:
        """The number of the job. Raises: Refusal, if SLURM does not take it."""
        nodes, share = self.runtime["nodes"], self.runtime["gpus"] // self.runtime["nodes"]
        options = []
        for name, option in asked.PLACED.items():
            if said := scheduler.placed(self.plan, bool(share), name):
                options.append(f"--{option}={said}")
        options += [f"--nodes={nodes}", f"--ntasks={nodes}", f"--cpus-per-task={processes.threads(self.runtime)}"]
        options += [f"--gres=gpu:{share}"] if share else []
        options += [f"--mem={MEMORY}", f"--time={MINUTES}", "--no-requeue", "--export=ALL"]
        log = (place / launched.LOG).absolute()
        words = shlex.join([sys.executable, "-m", "posttrain.doctor", str(place.absolute())])
        sent = subprocess.run(
            ["sbatch", "--parsable", "--job-name=posttrain-doctor", f"--output={log}", *options],
            input=f"#!/bin/bash\n{asked.shell_prefix(self.plan.site)}exec {words}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if sent.returncode:
            why = " ".join(sent.stderr.split())
            raise Refusal(f"is not taken: {why} (sbatch {' '.join(options)}); mend {scheduler.SITE}")
        return sent.stdout.strip().partition(";")[0]

    def ended(self, number: str) -> dict:
        """How the job ended: its state, its nodes, and the seconds that it waited.

        Raises: Refusal, if it does not begin, or SLURM does not say.
        """
        sent, waited, told = time.monotonic(), 0.0, ""
        while True:
            time.sleep(LOOK)
            line = slurm.ask("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T|%N|%S|%r")
            state, nodes, begins, reason = (line or "|||").strip().split("|", 3)
            if state in ENDED:
                return {"state": state, "nodes": nodes, "waited": waited}
            if state == "PENDING":
                waited = time.monotonic() - sent
                if reason != told:
                    print(f"SLURM job {number} waits ({reason})", file=sys.stderr)
                    told = reason
            if waited > 60 * self.wait:
                raise Refusal(
                    f"SLURM job {number} waited {lasting(waited)} ({reason}), behind {ahead(number)} others, to begin "
                    f"at {begins} by SLURM's word; it is cancelled, and `--wait 60` waits an hour"
                )
            if time.monotonic() - sent > 60 * (self.wait + MINUTES):
                raise Refusal(f"SLURM does not say what became of job {number}; it is cancelled")

    def nodes(self) -> str:
        """The environment is the same there as here, with what the site's file says."""
        seen = self.heard.seen
        if len(seen) < PROCESSES:
            raise Refusal(f"{len(seen)} of {PROCESSES} processes began: {self.heard.fault()} ({self.heard.log})")
        torch = environments.versions()["torch"]
        for said in seen:
            if said["torch"].partition("+")[0] != torch.partition("+")[0]:
                raise Refusal(f"{said['node']} has torch {said['torch']} in {said['python']}, and here is {torch}")
            if said["lacking"]:
                raise Refusal(f"{said['node']} lacks {', '.join(said['lacking'])}, which {scheduler.SITE} names")
        return f"{names(said['node'] for said in seen)} find torch {torch} in {seen[0]['python']}"

    def folders(self) -> str:
        """Store and work folder are the same there as here."""
        mend = f"say another `store:` or `scratch:` in {scheduler.SITE}, on a file system that all nodes see"
        for said in self.heard.seen:
            for folder, found in said["shared"].items():
                if found["fault"]:
                    raise Refusal(f"{Path(folder).parent} on {said['node']}: {found['fault']}; {mend}")
        if self.unseen:
            raise Refusal(f"{self.unseen[0].parent}: what nodes write there is not seen here; {mend}")
        free = [volume(found["free"]) for found in self.heard.seen[0]["shared"].values()]
        return f"store and work are the same there, {free[0]} and {free[1]} free"

    def cards(self) -> str:
        return self.heard.cards(self.runtime["gpus"] // self.runtime["nodes"])

    def hub(self) -> str:
        """Whether nodes reach the hub, which none needs to."""
        shut = {said["node"]: said["hub"] for said in self.heard.seen if said["hub"]}
        if not shut:
            return "is reached, though nothing is fetched there"
        return (
            f"is not reached from {names(shut)} ({min(shut.values())}), nor need it be: what is fetched is fetched here"
        )


def shape(plan: Plan, on_gpus: bool) -> dict:
    """The runtime of the job: on two nodes if there are two, and on a GPU each where jobs ask for GPUs."""
    nodes = [node for node in scheduler.nodes_of(scheduler.named(plan, on_gpus)) if node.gpus or not on_gpus]
    count = min(PROCESSES, len(nodes))
    each = min(PROCESSES // count, max(nodes).gpus) if on_gpus else 0
    return launched.runtime(count, count * each)


@contextmanager
def marked(*places: Path) -> Iterator[list[Path]]:
    """A new folder in each place, with a file for the nodes to see."""
    folders = [place.absolute() / f".doctor.{socket.gethostname()}.{os.getpid()}" for place in places]
    try:
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "asked").touch()
        yield folders
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def shown(path: Path) -> bool:
    """Whether a file is seen here, when it has had the time."""
    until = time.monotonic() + LATE
    while not path.exists():
        if time.monotonic() > until:
            return False
        os.listdir(path.parent)  # NFS looks again
        time.sleep(LOOK)
    return True


def ahead(number: str) -> int:
    """How many jobs wait with more priority."""
    waiting = (slurm.ask("squeue", "--noheader", "--states=PENDING", "--sort=-p,i", "--format=%A") or "").split()
    return waiting.index(number) if number in waiting else len(waiting)
