"""Every method, with whole weights, LoRA and QLoRA, by every launch: what ran, its first loss, what opens it.

    python tests/prove_methods.py

Each cell is two steps of the micro-chain's real trainer, on two processes (gloo) but for `single`. A cell that fails
must be one that the plan refuses, and one that runs must not be: recipes/compatibility.py says no more than was seen.
The table is written into docs/methods.md.
"""

import argparse
import itertools
import os
import platform
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "build"))

from stages import WEIGHTS, Stage, of_weights, uneven

from conftest import DPO, ROOT, Project, checkout, clean_environment
from posttrain.files import read_json, write_json
from posttrain.recipes import compatibility
from posttrain.recipes.methods import METHODS as FIELDS
from results import put

METHODS = ("cpt", "sft", "reward", "dpo", "kto", "orpo", "cpo", "simpo")
LAUNCHES = ("single", "ddp", "zero2", "zero3", "fsdp")
# How far apart, of the loss, the first losses of one recipe by several launches may be: their rounding.
IN_FLOAT32, IN_BFLOAT16 = 1e-5, 1e-3
PATIENCE = 600  # seconds for a group of cells: processes that wait for one that is gone wait half an hour
PAGE = ROOT / "docs/methods.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", default=list(WEIGHTS), choices=WEIGHTS)
    parser.add_argument("--launches", nargs="+", default=LAUNCHES, choices=LAUNCHES)
    parser.add_argument(
        "--cells", type=Path, help="a folder to keep cells and logs in; cells that it has are not run again"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posttrain-methods-") as folder:
        project, out = checkout(Path(folder, "p")), args.cells or Path(folder, "cells")
        out.mkdir(exist_ok=True)
        project.make(DPO)
        for weights in args.weights:
            inputs = prepare(project, weights, Path(folder))
            for launch in args.launches:
                run_cells(project.root, weights, launch, inputs, out)
                print(weights, launch, flush=True)
        found = {path.stem: read_json(path) for path in out.glob("*.*.*.json")}
    lines, odd = list(table(found, args.weights, args.launches)), list(disagreements(found))
    print("\n".join([*lines, *odd]))
    if not odd and (args.weights, args.launches) == (list(WEIGHTS), LAUNCHES):
        put("methods", "\n".join(lines) + "\n", PAGE)
    sys.exit(bool(odd))


def prepare(project: Project, weights: str, folder: Path) -> Path:
    """The tokens and references that cells read: made by one process, as a build makes them."""
    inputs = folder / weights
    inputs.mkdir()
    for method in METHODS:
        stage = of_weights(Stage.by(method, project, inputs / f"made.{method}"), weights)
        stage.tokenise(uneven(method if method in ("cpt", "sft") else "dpo"))
        for role in ("tokens", "reference"):
            if role in stage.inputs:
                (inputs / f"{role}.{method}").symlink_to(stage.inputs[role])
    return inputs


def run_cells(project: Path, weights: str, launch: str, inputs: Path, out: Path) -> None:
    """A column of cells, in as few launches as they leave standing."""
    while left := [method for method in METHODS if not cell(out, method, weights, launch).exists()]:
        count = 1 if launch == "single" else 2
        command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
        command += ["--config_file", str(ROOT / f"config/launch/{launch}.yaml"), "--num_processes", str(count)]
        command += ["--main_process_port", "0", str(Path(__file__).with_name("method_cells.py"))]
        with open(out / f"{weights}.{launch}.log", "a") as log:
            process = subprocess.Popen(
                [*command, str(project), weights, launch, str(inputs), str(out), *left],
                cwd=project,
                env=clean_environment() | {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
        if not cell(out, left[0], weights, launch).exists():  # it ended before it could say why
            write_json(cell(out, left[0], weights, launch), {"ran": False, "why": "its processes ended or hung"})


def cell(out: Path, method: str, weights: str, launch: str) -> Path:
    return out / f"{method}.{weights}.{launch}.json"


def table(found: dict[str, dict], weights: list[str], launches: list[str]) -> Iterator[str]:
    """The cells as Markdown, and below them what each failure was and a command that makes it again."""
    cells = {place: found[".".join(place)] for place in itertools.product(METHODS, weights, launches)}
    failed: dict[str, tuple[str, str]] = {}  # why, and the first column to end so
    for kind, method, launch in itertools.product(weights, METHODS, launches):
        if not cells[method, kind, launch]["ran"]:
            failed.setdefault(cells[method, kind, launch]["why"], (kind, launch))
    letters = dict(zip(failed, string.ascii_lowercase, strict=False))
    yield (
        f"`python tests/prove_methods.py`, on {os.cpu_count()} CPUs ({platform.machine()}), Python "
        f"{platform.python_version()}. A number is the loss of the first step; the model that it led to was saved, "
        "opened by transformers and asked. A letter is a failure, which the plan refuses."
    )
    yield ""
    for kind in weights:
        yield f"| {kind} | {' | '.join(launches)} |"
        yield "|---" * (len(launches) + 1) + "|"
        for method in METHODS:
            row = [cells[method, kind, launch] for launch in launches]
            shown = [f"{said['loss']:.4f}" if said["ran"] else letters[said["why"]] for said in row]
            yield f"| {method} | {' | '.join(shown)} |"
        yield ""
    for why, (kind, launch) in failed.items():
        yield f"- {letters[why]}: `{why}` (`python tests/prove_methods.py --weights {kind} --launches {launch}`)"


def disagreements(found: dict[str, dict]) -> Iterator[str]:
    """Cells that failed and are not refused, or ran and are; and launches by which a recipe begins elsewhere."""
    begins: dict[str, dict[str, float]] = {}
    for name, said in sorted(found.items()):
        method, weights, launch = name.split(".")
        refused = refusal(method, weights, launch)
        if said["ran"] and refused:
            yield f"{name}: ran, and the plan refuses it: {refused}"
        if not said["ran"] and not refused:
            yield f"{name}: is planned, and failed: {said['why']}"
        if said["ran"]:
            begins.setdefault(f"{method}.{weights}", {})[launch] = said["loss"]
    for name, losses in begins.items():
        least, most = min(losses.values()), max(losses.values())
        if most - least > (IN_BFLOAT16 if "train" in WEIGHTS[name.partition(".")[2]] else IN_FLOAT32) * most:
            yield f"{name}: begins at another loss by another launch: {losses}"


def refusal(method: str, weights: str, launch: str) -> str | None:
    """What the plan says of a cell, if it says no."""
    kind, own = FIELDS[method], WEIGHTS[weights]
    said = {"method": method, "base": "base", kind.rows: "rows"} | own
    said["train"] = {"learning_rate": 1e-3, "batch_size": 8, "bf16": False} | own.get("train", {})
    count = 1 if launch == "single" else 2
    said["runtime"] = {"launch": launch, "gpus" if launch == "fsdp" else "processes": count}
    return next((why for _, why in compatibility.refusals(kind.model_validate(said), 8 // count)), None)


if __name__ == "__main__":
    main()
