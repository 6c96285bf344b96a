"""Evaluations side by side: who was measured by what, with which figures, and what was answered."""

from functools import cached_property
from pathlib import Path

import pandas as pd

from posttrain.files import read_json
from posttrain.report.naming import rows_measured

# Of each kind of evaluation: the figures that a page draws, and what they are called. Of another all are drawn.
DRAWN = {
    "prompts": {"accuracy": "right, greedy", "sampled_accuracy": "right, sampled"},
    "pairs": {"accuracy": "prefers the chosen answer"},
    "ratings": {"rating": "rated by the judge"},
    "wins": {"win_rate": "preferred by the judge"},
    "text": {"bits_per_byte": "bits per byte (fewer is better)"},
    "drift": {"kl": "nats an answer from the first policy"},
}
# The inputs that say which model another was made from.
BASES = ("base", "checkpoints", "models.0")


class Suite:
    """An evaluation of some models, which are those that were measured, in a given order."""

    def __init__(self, name: str, targets: dict[str, dict], evals: dict[str, str]) -> None:
        self.name, self.targets, self.evals = name, targets, evals  # a model as the recipe names it → its evaluation
        first = targets[next(iter(evals.values()))]
        self.of, self.rows = first["own"]["of"], rows_measured(first["identity"])
        self.split = first["own"].get("split", "by lm-eval")
        self.tasks = first["own"].get("tasks", {})

    @cached_property
    def said(self) -> dict[str, dict]:
        """What each model's figures.json says."""
        return {model: read_json(f"{path}/figures.json") for model, path in self.evals.items()}

    @cached_property
    def points(self) -> dict[str, pd.DataFrame]:
        """What each model's figures are of."""
        return {model: pd.read_parquet(Path(path) / "points.parquet") for model, path in self.evals.items()}

    @property
    def figures(self) -> list[str]:
        """The figures that any of its models has, in the order of the first that has each."""
        return list(dict.fromkeys(name for said in self.said.values() for name in said["figures"]))

    @property
    def drawn(self) -> dict[str, str]:
        """The figures that a page draws, and what they are called."""
        known = {name: title for name, title in DRAWN.get(self.of, {}).items() if name in self.figures}
        asked = [name for name in self.figures if name.partition("/")[0] in self.tasks]  # and no parts of groups
        return known or {name: name for name in asked or self.figures}

    def first(self) -> dict[str, str]:
        """Each model's counterpart, if that is the first."""
        first, *others = self.evals
        return dict.fromkeys(others, first)

    def origins(self) -> dict[str, str]:
        """Each model's counterpart, if that is what it was made from: the nearest that was measured too."""
        by_path = {self.targets[path]["inputs"]["model"]: model for model, path in self.evals.items()}
        found = {model: next((by_path[above] for above in self.above(path) if above in by_path), None)
                 for path, model in by_path.items()}  # fmt: skip
        return {model: base for model, base in found.items() if base}

    def above(self, path: str) -> list[str]:
        """The models that one was made from, the nearest first."""
        found = []
        while base := next((made for role in BASES if (made := self.targets[path]["inputs"].get(role))), None):
            found.append(path := base)
        return found


def suites_of(targets: dict[str, dict], evals: list[str]) -> list[Suite]:
    """The suites of some evaluations, and the models of each, in the order of these."""
    found: dict[str, dict[str, str]] = {}
    for path in evals:
        found.setdefault(path.rsplit("/", 1)[1], {})[targets[path]["identity"]["model"]] = path
    return [Suite(name, targets, measured) for name, measured in found.items()]
