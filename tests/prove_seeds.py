"""The quickstart with other seeds: what each stage is worth, its mean and spread written into tests/RESULTS.md.

    python tests/prove_seeds.py --seeds 3

Each build is of the shipped page with every `seed: 0` (weights, row orders, draws; not the words) made another.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from conftest import ROOT, Project, checkout
from results import put

PAGE = "config/recipes/quickstart.yaml"
# What each stage is measured by, in the order of the chain: its evaluation and the figure.
STAGES = {
    "cpt": ("words", "bits_per_byte"),
    "sft": ("spelling", "accuracy"),
    "reward": ("near-misses", "accuracy"),
    "rs": ("spelling", "accuracy"),
    "dpo": ("spelling", "accuracy"),
    "orpo": ("spelling", "accuracy"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 on (default 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posttrain-seeds-") as folder:
        found = [figures(build(Path(folder, str(seed)), seed)) for seed in range(args.seeds)]
    put("seeds", "\n".join(table(found)))


def build(root: Path, seed: int) -> Project:
    """The quickstart with a seed, its evaluations made."""
    project = checkout(root, "")
    shutil.copy(ROOT / PAGE, project.path(PAGE))
    project.edit("seed: 0", f"seed: {seed}", PAGE)
    project.make(*(f"evals/quickstart-{stage}/{suite}" for stage, (suite, _) in STAGES.items()))
    return project


def figures(project: Project) -> dict[str, float]:
    made = {
        stage: json.loads(project.path(f"evals/quickstart-{stage}/{suite}/figures.json").read_text())[figure]
        for stage, (suite, figure) in STAGES.items()
    }
    print(made, flush=True)
    return made


def table(found: list[dict[str, float]]) -> list[str]:
    """A row a stage: the figure of each seed, their mean, and the largest less the smallest."""
    seeds = range(len(found))
    rows = [
        f"`python tests/prove_seeds.py --seeds {len(found)}`; spread is the largest less the smallest.",
        "",
        f"| model | figure | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | spread |",
        "|---" * (len(found) + 4) + "|",
    ]
    for stage, (suite, figure) in STAGES.items():
        values = [made[stage] for made in found]
        shown = [said(figure, value) for value in (*values, sum(values) / len(values), max(values) - min(values))]
        rows.append(f"| quickstart-{stage} | {suite}: {figure.replace('_', ' ')} | {' | '.join(shown)} |")
    return [*rows, ""]


def said(figure: str, value: float) -> str:
    return f"{100 * value:.1f} %" if figure == "accuracy" else f"{value:.2f}"


if __name__ == "__main__":
    main()
