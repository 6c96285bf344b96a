"""A record built again, in a folder of its own that holds nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

from posttrain.build import store
from posttrain.files import Refusal
from posttrain.plan import recorded


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
    try:
        status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    except KeyboardInterrupt:
        raise Refusal(f"{path}: stopped; the same command goes on in {folder}") from None
    if status:
        raise Refusal(f"{path}: was not built again: snakemake ended with status {status} in {folder}")


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
