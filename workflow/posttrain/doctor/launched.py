"""Two processes launched as a training's are, here or in a SLURM job, and what they say."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from posttrain.build import processes
from posttrain.files import Refusal, read_json, write_json
from posttrain.plan.opened import Plan

FOLDER = Path(".posttrain/doctor")
ASKED, LOG = "asked.json", "log"
PROGRAM = Path(__file__).with_name("probe.py")
PROCESSES = 2
LONGEST = 300  # seconds: a cluster's file system may take a minute to load torch
FAULT = re.compile("(Error|Exception|error|fatal): ")


@contextmanager
def opened() -> Iterator[Path]:
    """A new folder of this checkout for one launch; it stays if a log is left in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=FOLDER))
    try:
        yield place
    finally:
        if not (place / LOG).exists():
            shutil.rmtree(place)


def node() -> str:
    return os.environ.get("SLURMD_NODENAME", socket.gethostname())


def runtime(nodes: int, gpus: int) -> dict:
    """That of a training of two processes."""
    return {"launch": "ddp", "offload": "none", "threads": 1, "processes": PROCESSES, "nodes": nodes, "gpus": gpus}


def ask(place: Path, runtime: dict, plan: Plan, shared: Iterable[Path] = ()) -> None:
    """Write down what is to be launched, and which folders its processes are to find something in."""
    said = {"runtime": runtime, "root": str(plan.root), "shared": [str(path) for path in shared]}
    write_json(place / ASKED, said | {name: plan.site[name] for name in ("modules", "variables")})


def launch(place: Path, log: IO | None = None, **variables: str) -> int:
    """Launch what is asked for in a folder, to its end; its exit status."""
    asked = read_json(place / ASKED)
    if not asked:
        raise Refusal(f"{node()} does not see {place.absolute()}")
    command = processes.command(str(PROGRAM), [str(place / ASKED)], asked["runtime"], Path(asked["root"]), online=True)
    environment = processes.environment(place, "doctor", asked["runtime"]["threads"], online=True)
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            command,
            env=environment | asked["variables"] | variables,
            preexec_fn=processes.ignore_stop_signals,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=LONGEST,
            check=False,
        ).returncode
    return os.EX_TEMPFAIL


@dataclass(frozen=True)
class Heard:
    """What the processes of a launch have said."""

    log: Path
    seen: list[dict]
    summed: list[dict]
    other: list[str]

    @property
    def ranks(self) -> list[str]:
        return [str(said["rank"]) for said in self.seen]

    def together(self) -> str:
        """How they sum over each other. Raises: Refusal, if they do not."""
        if len(self.summed) < PROCESSES:
            raise Refusal(f"two processes do not find each other: {self.fault()} ({self.log})")
        slowest, nodes = max(said["seconds"] for said in self.summed), names(said["node"] for said in self.summed)
        return f"{PROCESSES} processes on {nodes}, {self.summed[0]['backend']}, 25 MB in {slowest:.2g} s"

    def cards(self, share: int) -> str:
        """The GPUs that torch sees on each node. Raises: Refusal, if they are fewer than a node was given."""
        for said in self.seen:
            if said["gpus"] < share:
                raise Refusal(
                    f"{said['node']} gave {share} and torch {said['torch']} sees {said['gpus']}: install CUDA's torch "
                    "(README, Running), or ask for nodes whose driver it takes"
                )
        return ", ".join(sorted({f"{said['node']}: {said['gpus']} ({said['card']})" for said in self.seen}))

    def fault(self) -> str:
        """The line that says what went wrong."""
        return next(filter(FAULT.search, self.other), self.other[-1] if self.other else "nothing was said")


def heard(place: Path) -> Heard:
    lines = (place / LOG).read_text(errors="replace").splitlines()
    said = sorted(filter(None, map(words, lines)), key=lambda by: by["rank"])
    seen, summed = ([by for by in said if key in by] for key in ("torch", "backend"))
    return Heard(place / LOG, seen, summed, [line for line in lines if line and not words(line)])


def words(line: str) -> dict:
    """What a line of the log says; {} of one that no probe has said."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and "rank" in said else {}


def names(nodes: Iterable[str]) -> str:
    return " and ".join(sorted(set(nodes)))
