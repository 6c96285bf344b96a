"""A record built again, in a folder of its own that holds nothing else."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from posttrain.build import processes, store
from posttrain.build.lease import KEY, Lease, mark
from posttrain.files import Refusal, digest
from posttrain.plan import recorded


def alone(folder: Path) -> Lease:
    """The right to build in a folder: no other verify of this checkout empties it, or takes it away, meanwhile."""
    return Lease(Path(".posttrain"), digest(str(folder.resolve())), str(folder))


def build(path: str, planned: dict[str, dict], folder: Path, profile: str) -> None:
    """Have Snakemake build a target in a clean folder; one that was stopped is gone on with.

    Args:
        planned: the target, last, and all that it is made from.
    """
    *_, built_as = planned
    if recorded.read(folder) != planned or (folder / f"{built_as}.json").exists():
        empty(folder)
        recorded.write(folder, planned)
    command = [sys.executable, "-m", "snakemake", built_as, "--directory", str(folder), "--profile", profile]
    status, stopped = run(command, folder)
    if status and stopped:
        raise Refusal(f"{path}: stopped; the same command goes on in {folder}")
    if status:
        raise Refusal(f"{path}: was not built again: snakemake ended with status {status} in {folder}")


def run(command: list[str], folder: Path) -> tuple[int, bool]:
    """The exit status of a command that builds in a folder, and whether Ctrl-C was pressed meanwhile.

    That goes to all processes of a terminal: Snakemake has its jobs keep what they have, and is waited for. It dies
    with this process; who takes the folder's lease next ends what has not yet, by its mark.
    """
    held, pressed = alone(folder), []
    environment = os.environ | {KEY: mark(held.store, held.key)}
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        child = subprocess.Popen(command, env=environment, stdout=sys.stderr, preexec_fn=processes.die_with_parent)
        return child.wait(), bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def empty(folder: Path) -> None:
    """Raises: Refusal, if a folder holds what is not an earlier verify's."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not recorded.read(folder):
        raise Refusal(f"--into {folder}: is not empty, and no earlier verify made it; name another folder")
    remove(folder)


def remove(folder: Path) -> None:
    for sealed in ("work", "store"):
        store.clear(folder / sealed)
    shutil.rmtree(folder)
