"""Every shipped model is as published, by a table with its sources (published.yaml), or is named here as our own."""

import math
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from posttrain.recipes import catalogue, methods
from posttrain.recipes.sources import Rows
from posttrain.recipes.written import merge

OWN = (
    "quickstart-*",
    "guide-*",
    "smollm2-wheel*",
    "zephyr-7b-dpo-scan@*",
    "zephyr-7b-sft-qlora-merged",
    "zephyr-7b-reward",
    "zephyr-7b-rs*",
    "zephyr-7b-iterative-*",
    "gemma-7b-own*",
    "cai-grok-dpo",
    "cai-*-own-*",
    "smollm3-soup",
)
ENTRIES = catalogue.load([ROOT / "config/recipes"], Path("no-site.yaml")).entries
MODELS = [path.removeprefix("models/") for path in ENTRIES if path.startswith("models/")]
SAID = {"learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs", "max_length"}
SAID_OF = {"dpo": {"loss_type", "beta"}, "orpo": {"beta"}}


def published() -> dict[str, dict]:
    """The table's rows, one for each beta of a scan."""
    rows = {}
    for name, row in yaml.safe_load((Path(__file__).parent / "published.yaml").read_text()).items():
        if "betas" in row:
            rows |= {f"{name}@beta={beta}": merge(row, {"train": {"beta": beta}}) for beta in row["betas"]}
        else:
            rows[name] = row
    return rows


RUNS = published()
TRAINED = [name for name in RUNS if "train" in RUNS[name]]


@pytest.mark.parametrize("name", RUNS)
def test_a_shipped_model_is_the_published_run(name):
    """Every field is held: one that the table leaves unsaid has its default."""
    recipe = ENTRIES[f"models/{name}"].recipe
    run = merge(RUNS[name], RUNS[name].get("ours", {}))
    fields = {key: value for key, value in run.items() if key in methods.METHODS[run["method"]].model_fields}
    if "train" in run:
        fields["train"] = run["train"] | {"batch_size": math.prod(run["batch"])}
        fields[recipe.rows] = getattr(recipe, recipe.rows)
    expected = methods.METHODS[run["method"]].model_validate(fields)
    assert recipe.model_dump(exclude={"runtime"}) == expected.model_dump(exclude={"runtime"})


@pytest.mark.parametrize("name", TRAINED)
def test_its_rows_are_those_of_the_run(name):
    recipe = ENTRIES[f"models/{name}"].recipe
    run = merge(RUNS[name], RUNS[name].get("ours", {}))
    rows = ENTRIES[f"{recipe.rows}/{getattr(recipe, recipe.rows)}"].recipe
    assert (drawn(rows), rows.take, rows.seed) == (run["rows"], run["take"], run["seed"])
    held_against = rows.decontaminate.against if rows.decontaminate else []
    assert held_against == (["humaneval"] if "humaneval" in run else [])


def drawn(rows: Rows) -> list[str]:
    """What a set is made of, in the table's words."""
    sources = rows.sources
    assert not any(source.skip or source.rows or source.where for source in sources)
    parts = [(source.hub, source.subset, source.files, source.split, f"{source.weight or 1:g}") for source in sources]
    return [" ".join(filter(None, part)) for part in parts]


@pytest.mark.parametrize("name", TRAINED)
def test_the_table_says_what_a_run_was(name):
    run = RUNS[name]
    assert run["source"] and SAID | SAID_OF.get(run["method"], set()) <= run["train"].keys()
    assert "ours" not in run or run["ours"]["why"]


def test_every_shipped_model_is_published_or_our_own():
    assert sorted(RUNS) == sorted(name for name in MODELS if not any(fnmatch(name, own) for own in OWN))
    assert all(any(fnmatch(name, own) for name in MODELS) for own in OWN)
