"""What planning costs: `snakemake -n` of one target, and of every model of the shipped catalogue, against an empty
workflow under the same profile.

    python tests/benchmarks/planning.py [repeats]

The three take turns, so that other load falls on all alike. The goal is a ratio of at most 1.4.
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
ONE = "models/zephyr-7b-dpo"


def checkouts(folder: Path) -> dict[str, list[str]]:
    """The commands, each with the folder to run it in as its first word."""
    ours, empty = folder / "ours", folder / "empty"
    for part in PARTS:
        shutil.copytree(ROOT / part, ours / part, ignore=shutil.ignore_patterns("__pycache__"))
    (empty / "workflow").mkdir(parents=True)
    (empty / "workflow/Snakefile").write_text(EMPTY)
    shutil.copytree(ROOT / "profiles", empty / "profiles")
    plan = [str(Path(sys.executable).with_name("snakemake")), "-n", "-c1"]
    return {
        "empty workflow": [str(empty), *plan],
        "one target": [str(ours), *plan, ONE],
        "catalogue": [str(ours), *plan],
    }


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
        commands = checkouts(Path(folder))
        for command in commands.values():  # bytecode, digests, disk cache
            run(command)
        load = os.getloadavg()[0]
        turns = [{name: run(command) for name, command in commands.items()} for _ in range(repeats)]
    print(f"median of {repeats}, in turns; load {load:.1f} at the start, on {os.cpu_count()} cores")
    base = [statistics.median(turn["empty workflow"][i] for turn in turns) for i in (0, 1)]
    for name in commands:
        wall, cpu = (statistics.median(turn[name][i] for turn in turns) for i in (0, 1))
        print(f"{name:15} wall {wall:.3f} s (× {wall / base[0]:.2f})   CPU {cpu:.3f} s (× {cpu / base[1]:.2f})")


if __name__ == "__main__":
    main()
