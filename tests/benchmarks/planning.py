"""What planning costs, all under the same profile and in turns, so that other load falls on all alike.

    python tests/benchmarks/planning.py [repeats]

`snakemake -n` of one target beside the shipped catalogue, against an empty workflow (goal: at most 1.4 times its time),
and of all of it; of a scan of 1000 models beside it, against one rule with a wildcard whose jobs have as many inputs,
outputs and resources (goal: at most 1.3); `posttrain plan` and `explain`, against the dry run of the same target.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("workflow", "rules", "scripts", "config", "envs", "profiles")
EMPTY = 'rule all:\n    output:\n        "nothing",\n    shell:\n        "true"\n'
ONE, CHAIN = "models/zephyr-7b-dpo", "models/quickstart-dpo"
POINTS = 1000
SCAN = f"""\
models:
  thousand:
    extends: zephyr-7b-dpo
    train: {{learning_rate: 1.0e-6}}
    scan: {{seed: [{", ".join(map(str, range(POINTS)))}]}}
"""
# The same models, each made of the same four parts, by one rule that knows nothing.
GENERIC = f"""\
PARTS = ["models/base", "tokenizers/t", "tokens/t", "reference/r"]
MODELS = [f"models/m{{i}}" for i in range({POINTS})]


def made(wildcards):
    return [] if wildcards.target in PARTS else [f"{{part}}.json" for part in PARTS]


def folders(wildcards):
    return [] if wildcards.target in PARTS else PARTS


rule all:
    input:
        MODELS,


rule make:
    input:
        recipe="recipes/{{target}}.json",
        made=made,
        folders=ancient(folders),
    output:
        manifest="{{target}}.json",
        run="{{target}}.run.json",
        folder=directory("{{target}}"),
    log:
        "logs/{{target}}.log",
    benchmark:
        "benchmarks/{{target}}.tsv"
    wildcard_constraints:
        target="|".join(PARTS + MODELS),
    threads: 8
    resources:
        **{{name: lambda wildcards: None for name in ("nodes", "tasks", "gres", "mpi")}},
        mem_mb=lambda wildcards: 8000,
        runtime=lambda wildcards: 60,
        gpu=lambda wildcards: 8,
        slurm_account="",
        slurm_partition="",
    shell:
        "true"
"""
# Each with what it is measured against.
AGAINST = {
    "empty workflow": "empty workflow",
    "one target": "empty workflow",
    "catalogue": "empty workflow",
    "chain": "empty workflow",
    "posttrain plan": "chain",
    "posttrain explain": "chain",
    "generic rule": "generic rule",
    "scan": "generic rule",
}


def workflow(folder: Path, text: str) -> Path:
    (folder / "workflow").mkdir(parents=True)
    (folder / "workflow/Snakefile").write_text(text)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    return folder


def generic(folder: Path) -> Path:
    """A workflow of one rule, with the file that stands for each target's recipe."""
    workflow(folder, GENERIC)
    for name in ["models/base", "tokenizers/t", "tokens/t", "reference/r", *(f"models/m{i}" for i in range(POINTS))]:
        path = folder / f"recipes/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


def checkout(folder: Path, page: str = "") -> Path:
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "config/recipes/scan.yaml").write_text(page)
    return folder


def commands(folder: Path) -> dict[str, list[str]]:
    """The commands, each with the folder to run it in as its first word."""
    dry, posttrain = [program("snakemake"), "-n", "-c1"], program("posttrain")
    ours, scan = str(checkout(folder / "ours")), str(checkout(folder / "scan", SCAN))
    return {
        "empty workflow": [str(workflow(folder / "empty", EMPTY)), *dry],
        "one target": [ours, *dry, ONE],
        "catalogue": [ours, *dry],
        "chain": [ours, *dry, CHAIN],
        "posttrain plan": [ours, posttrain, "plan", CHAIN],
        "posttrain explain": [ours, posttrain, "explain", CHAIN],
        "generic rule": [str(generic(folder / "generic")), *dry],
        "scan": [scan, *dry, *(f"models/thousand@seed={i}" for i in range(POINTS))],
    }


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock, and seconds of CPU."""
    place, *words = command
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSTTRAIN_", "SNAKEMAKE_"))}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, cwd=place, env=kept, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        said = commands(Path(folder))
        for command in said.values():  # bytecode, digests, disk cache
            run(command)
        load = os.getloadavg()[0]
        turns = [{name: run(command) for name, command in said.items()} for _ in range(repeats)]
    print(f"median of {repeats}, in turns; load {load:.1f} at the start, on {os.cpu_count()} cores")
    for name in said:
        times = [statistics.median(turn[name][i] for turn in turns) for i in (0, 1)]
        ratios = [statistics.median(turn[name][i] / turn[AGAINST[name]][i] for turn in turns) for i in (0, 1)]
        told = [f"{what} {at:.3f} s (× {by:.2f})" for what, at, by in zip(("wall", "CPU"), times, ratios, strict=True)]
        print(f"{name:17} {'   '.join(told)}   of {AGAINST[name]}")


if __name__ == "__main__":
    main()
