"""The campaign of kills: as many trials as asked, drawn from a seed, their table written into tests/RESULTS.md.

    python tests/prove_kills.py --trials 50 --seed 0

Each trial takes a stage out of a finished build, starts it, kills (-9) one process or all at a point of it, and builds
again: the result must be the undisturbed build's to the byte. test_kills.py makes ten chosen ones.
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "build"))

import kills

from chain import CHAIN
from conftest import Project, checkout
from results import put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50, help="how many kills (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="what the kills are drawn from (default 0)")
    parser.add_argument("--only", type=int, help="make but this trial of the campaign, and write no table")
    args = parser.parse_args()
    trials = draw(args.trials, args.seed) if args.only is None else [draw(args.trials, args.seed)[args.only]]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="posttrain-kills-") as folder:
        built = checkout(Path(folder, "built"), CHAIN)
        built.make(*kills.TARGETS.values())
        faults = []
        for number, trial in enumerate(trials, 1):
            faults += make(trial, built, Path(folder, str(trial.seed)))
            if args.only is None:
                put("kills", table(trials[:number], args, time.monotonic() - began))
    sys.exit("\n\n".join(faults) or None)


def draw(number: int, seed: int) -> list[kills.Trial]:
    """Points in turn, so that all are hit; victim, stage and moment by chance."""
    dice = random.Random(seed)
    trials = []
    for i in range(number):
        point = list(kills.POINTS)[i % len(kills.POINTS)]
        pairs = [(stage, victim) for stage in kills.TARGETS for victim in kills.POINTS[point]]
        stage, victim = dice.choice([pair for pair in pairs if kills.possible(*pair, point)])
        trials.append(kills.Trial(seed * 1000 + i, stage, victim, point))
    return trials


def make(trial: kills.Trial, built: Project, root: Path) -> list[str]:
    """Make a trial and say how it went; its fault, if it has one."""
    fault = []
    try:
        kills.strike(trial, built, root)
    except Exception as error:  # noqa: BLE001 (the campaign goes on, and fails in the end)
        fault = [f"{trial}: {type(error).__name__}: {error}"]
    print(row(trial), *fault, flush=True)
    return fault


def row(trial: kills.Trial) -> str:
    resumed = "–" if trial.resumed is None else trial.resumed
    same = "equal" if trial.same else "**no**"
    words = (trial.seed, trial.stage, trial.victim, trial.point, trial.hit, trial.step, resumed)
    return f"| {' | '.join(map(str, words))} | {trial.seconds:.1f} | {same} |"


def table(trials: list[kills.Trial], args: argparse.Namespace, seconds: float) -> str:
    same, hits = sum(trial.same for trial in trials), sum(trial.hit == trial.point for trial in trials)
    head = "| seed | stage | killed | aimed at | hit | checkpoint | went on from | s | digests |"
    return "\n".join([
        f"`python tests/prove_kills.py --trials {args.trials} --seed {args.seed}`: {same} of {len(trials)} ended with "
        f"the undisturbed build's digests, {hits} kills came where they were aimed; {seconds / 60:.0f} minutes on "
        f"{os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}.",
        "",
        "*checkpoint*: the newest whole one that the kill left (of 4 steps), or how many of a sampler's 8 blocks;",
        "*went on from*: where the next run began, – where nothing was left to do. Digests count as equal only if the",
        "next `snakemake` ended well, programs of two supervisors were never seen alive and no block was written twice",
        "(looked for ten times a second), nothing half-made had a manifest, every whole checkpoint was gone on from,",
        "and no process was left over.",
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|",
        *map(row, trials),
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
