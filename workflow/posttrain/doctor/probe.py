"""One process of two: what it sees where it is, and whether it can sum over both, each a line of JSON.

python probe.py ASKED, by accelerate's launcher. It leaves a file in each folder that it is to look at.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from posttrain.build import processes
from posttrain.doctor.launched import node
from posttrain.files import read_json
from posttrain.hub.asking import unreached

PATIENCE = timedelta(seconds=60)
NUMBERS = 25_000_000 // 4  # as much as a bucket of gradients


def main() -> None:
    processes.die_with_parent(os.environ.get("POSTTRAIN_SUPERVISOR"))
    asked = read_json(sys.argv[1])
    say(**place(), **seen(asked))
    say(**place(), **summed())


def say(**said: object) -> None:
    sys.stdout.write(f"{json.dumps(said)}\n")  # at once: `print` would let the other come between it and its end


def place() -> dict:
    return {"node": node(), "rank": int(os.environ["RANK"])}


def seen(asked: dict) -> dict:
    cards = torch.cuda.device_count()
    return {
        "torch": torch.__version__,
        "python": sys.executable,
        "gpus": cards,
        "card": torch.cuda.get_device_name(0) if cards else "none",
        "lacking": [*lacking(asked)],
        "shared": {path: seen_of(Path(path)) for path in asked["shared"]},
        "hub": unreached(),
    }


def lacking(asked: dict) -> Iterator[str]:
    """The site's modules and variables that did not arrive."""
    loaded = os.environ.get("LOADEDMODULES", "").split(":")
    for name in asked["modules"]:
        if not any(f"{module}/".startswith(f"{name}/") for module in loaded):
            yield f"module {name}"
    yield from (name for name, value in asked["variables"].items() if os.environ.get(name) != value)


def seen_of(folder: Path) -> dict:
    """Whether what was put into a folder is seen, and what is free there; this process puts a file beside it."""
    try:
        (folder / os.environ["RANK"]).touch()
        return {"fault": "" if (folder / "asked").exists() else "not seen", "free": shutil.disk_usage(folder).free}
    except OSError as error:
        return {"fault": error.strerror, "free": 0}


def summed() -> dict:
    """How long a sum over all processes takes."""
    local, beside = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    on_gpus = torch.cuda.device_count() >= beside
    device = torch.device("cuda", local) if on_gpus else torch.device("cpu")
    backend = "nccl" if on_gpus else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE, device_id=device if on_gpus else None)
    numbers = torch.ones(NUMBERS, device=device)
    distributed.all_reduce(numbers)  # the first opens the connections
    began = time.monotonic()
    distributed.all_reduce(numbers)
    right = int(numbers[-1]) == distributed.get_world_size() ** 2
    seconds = time.monotonic() - began
    distributed.destroy_process_group()
    if not right:
        sys.exit("RuntimeError: the sum over two processes is wrong")
    return {"backend": backend, "seconds": seconds}


main()
