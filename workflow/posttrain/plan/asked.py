"""What a target's job asks the scheduler for, by its runtime, by the site, and by what it was found to need."""

import math
import shlex
from pathlib import Path
from typing import Any

from posttrain.build.processes import PACKAGE
from posttrain.files import read_json, write_json

NEEDS = Path(".posttrain/needs")  # by intent: what a job was too small for, the next is not
MORE = 2  # times what was not enough
# Of a job: the site's key of what Snakemake's plugin calls otherwise.
PLACED = {"slurm_account": "account", "slurm_partition": "partition", "qos": "qos", "constraint": "constraint"}
LOAD = (
    'ours=$(command -v python); [ -v APPTAINER_CONTAINER ] || module load {} || exit; PATH="$(dirname "$ours"):$PATH"; '
)
SIZED = ("mem_mb", "runtime")
SPREAD = ("gpu", "nodes", "tasks", "gres", "mpi")


def of(target: dict, site: dict, name: str) -> Any:
    """A resource of a target's job by the name that Snakemake has for it; None if nothing is asked for."""
    if name in PLACED:
        said = site.get(PLACED[name])
        return said.get("gpu" if target["runtime"].get("gpus") else "cpu") if isinstance(said, dict) else said
    return sized(target, site, name) if name in SIZED else spread(target["runtime"]).get(name)


def sized(target: dict, site: dict, name: str) -> int:
    """MB of a node's memory, or minutes of one job."""
    said, found = runtime_of(target, name), read_json(needs(target)).get(name, {})
    wanted = found["needs"] if found.get("said") == said else said  # who says something else by now is heeded
    return min(wanted, longest(site)) if name == "runtime" else wanted


def runtime_of(target: dict, name: str) -> int:
    runtime = target["runtime"]
    return round(1000 * runtime["mem_gb"]) if name == "mem_mb" else round(60 * runtime["hours"])


def spread(runtime: dict) -> dict[str, Any]:
    """GPUs, and of a job of several nodes what it asks SLURM for besides."""
    gpus, nodes = runtime.get("gpus") or None, runtime.get("nodes", 1)
    if nodes == 1:
        return {"gpu": gpus, "nodes": 1 if gpus else None}  # unsaid, SLURM gathers a job's GPUs from several
    # `gpu` counts all nodes together, so each one's share is said; where there are GPUs, `tasks` would be of each.
    share = {"gres": f"gpu:{gpus // nodes}"} if gpus else {"tasks": nodes}
    return {"gpu": gpus, "nodes": nodes, "mpi": ""} | share  # mpi: the shell line itself spreads its work, with srun


def grow(target: dict, site: dict, name: str, asked: int) -> bool:
    """Have the next job of a target ask for more than that; whether it can."""
    if name == "runtime" and asked >= longest(site):
        return False
    found = {"said": runtime_of(target, name), "needs": MORE * asked}
    write_json(needs(target), read_json(needs(target)) | {name: found})
    return True


def longest(site: dict) -> float:
    """Whole minutes: SLURM takes no others, and none for no limit."""
    return max(1, int(60 * site["max_hours"])) if "max_hours" in site else math.inf


def needs(target: dict) -> Path:
    return NEEDS / f"{target['intent']}.json"


def shell_prefix(site: dict) -> str:
    """What a job's shell does first: load the site's modules, and name the package.

    Modules know nothing of `set -u`, and may put another Python first; an image has its own. The Python of a conda
    environment or a container has the package not installed.
    """
    loads = LOAD.format(shlex.join(site["modules"])) if site["modules"] else ""
    return f"{loads}set -euo pipefail; export PYTHONPATH={shlex.quote(str(PACKAGE))}; "
