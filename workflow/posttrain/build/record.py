"""The run record: by what software, on what machine, from what commit, and how it went. Never part of a key."""

import hashlib
import json
import os
import platform
import socket
import subprocess
import time
from pathlib import Path

from posttrain.build import launch, slurm, status
from posttrain.files import DIGEST_CHARACTERS, read_json

OURS = ("config", "envs", "rules", "scripts", "workflow")  # what a build is made by, in the checkout
JOURNAL = Path(".posttrain/journal.jsonl")


def of_run(work: Path, target: dict, root: Path, versions: dict[str, str]) -> dict:
    """What a finished work folder's run.json says.

    Args:
        versions: of the environment that its program ran in.
    """
    said = status.read(work)
    return {
        "launch": launch.in_force(work, target["runtime"]),
        **launch.halving(work),
        "seconds": round(status.spent(said), 1),
        "resumes": said.get("resumes", 0),
        "metrics": read_json(work / "metrics.json"),
        "versions": versions,
        "hardware": hardware(),
        "slurm_job": slurm.job(),
        "git": git(root),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def note(event: str, path: str, key: str) -> None:
    """Add a line to the journal of this checkout: which program was started, which artifact linked."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, "target": path, "key": key}
    with open(JOURNAL, "a") as journal:
        journal.write(json.dumps({**line, "pid": os.getpid()}) + "\n")


def hardware() -> dict:
    """The machine, as far as a process without torch can tell."""
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = [
        line.partition(":")[2].strip() for path in gpus for line in path.read_text().splitlines() if "Model" in line
    ]
    cpu = next((said for said in Path("/proc/cpuinfo").read_text().splitlines() if said.startswith("model name")), "")
    kind = {"machine": platform.machine(), "cpu": cpu.partition(":")[2].strip()}
    return {"host": socket.gethostname(), **kind, "cpus": os.cpu_count(), "gpus": models}


def git(root: Path) -> dict:
    """The commit of the checkout, and the digest of what differs from it, new files too."""

    def run(*arguments: str) -> bytes:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False).stdout

    commit, differs = run("rev-parse", "HEAD").decode().strip(), run("diff", "HEAD")
    for name in run("ls-files", "-z", "--others", "--exclude-standard", "--", *OURS).split(b"\0")[:-1]:
        differs += name + b"\0" + hashlib.sha256((root / os.fsdecode(name)).read_bytes()).digest()
    dirty = hashlib.sha256(differs).hexdigest()[:DIGEST_CHARACTERS] if differs else None
    return {"commit": commit or None, "dirty": dirty}
