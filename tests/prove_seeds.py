"""The quickstart with other seeds: what each stage is worth, its mean and spread written into tests/RESULTS.md.

    python tests/prove_seeds.py --seeds 3

Each build is of the shipped page with every `seed: 0` (weights, row orders, draws; not the words) made another.
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

from conftest import ROOT, Project, checkout
from results import put

PAGE = "config/recipes/quickstart.yaml"
Figure = tuple[str, str, str]  # of a model: its suite, and the name of the figure
BITS = ("cpt", "words", "bits_per_byte")
REWARD = ("reward", "near-misses", "accuracy")
# Each accuracy of the chain, of its second round and of the branch, with the stage whose accuracy it is to raise.
CHAIN = {"sft": None, "rs": "sft", "dpo": "rs", "dpo-2": "dpo", "orpo": "rs"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 on (default 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posttrain-seeds-") as folder:
        built = [build(Path(folder, str(seed)), seed) for seed in range(args.seeds)]
        rows = list(table(built))
    head = " | ".join(f"seed {seed}" for seed in range(args.seeds))
    put("seeds", "\n".join([
        f"`python tests/prove_seeds.py --seeds {args.seeds}`, on {os.cpu_count()} CPUs ({platform.machine()}), Python "
        f"{platform.python_version()}.",
        "*spread*: the largest less the smallest. *more*: than the stage before, with the same seed.",
        "",
        f"| quickstart- | figure | {head} | mean | spread |",
        "|---" * (args.seeds + 4) + "|",
        *rows,
        "",
    ]))  # fmt: skip


def build(root: Path, seed: int) -> Project:
    """The quickstart with a seed, its evaluations made."""
    project = checkout(root, (ROOT / PAGE).read_text().replace("seed: 0", f"seed: {seed}"))
    evals = [BITS, REWARD, *((stage, "spelling", "") for stage in CHAIN)]
    project.make(*(f"evals/quickstart-{stage}/{suite}" for stage, suite, _ in evals), timeout=None)
    print(f"seed {seed} is built", flush=True)
    return project


def table(built: list[Project]) -> list[str]:
    """A row a figure: of each seed, their mean, and their spread; and how much more than the stage before."""
    rows = [row("cpt", "bits per byte", values(built, BITS), "{:.2f}")]
    rows.append(row("reward", "prefers the right spelling", values(built, REWARD)))
    for name, figure in (("right, greedy", "accuracy"), ("right, sampled", "sampled_accuracy")):
        for stage, before in CHAIN.items():
            found = values(built, (stage, "spelling", figure))
            rows.append(row(stage, name, found))
            if before:
                base = values(built, (before, "spelling", figure))
                rows.append(row(stage, f"more than {before}", [a - b for a, b in zip(found, base, strict=True)]))
    return rows


def values(built: list[Project], figure: Figure) -> list[float]:
    stage, suite, name = figure
    return [
        json.loads(project.path(f"evals/quickstart-{stage}/{suite}/figures.json").read_text())["figures"][name]["value"]
        for project in built
    ]


def row(stage: str, name: str, found: list[float], form: str = "{:.1%}") -> str:
    shown = [form.format(value) for value in (*found, sum(found) / len(found), max(found) - min(found))]
    return f"| {stage} | {name} | {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
