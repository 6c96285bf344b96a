"""What docs/write-a-recipe.md shows is what happens, and docs/score-and-select.md leaves nothing out."""

import re
import shutil
from typing import get_args

import pytest

from conftest import ROOT, Project
from posttrain import cli
from posttrain.plan import frozen
from posttrain.recipes import scoring
from posttrain.score import verifiers
from posttrain.score.verifiers import constraints

GUIDE = (ROOT / "docs/write-a-recipe.md").read_text()
PAGE = "config/recipes/mine.yaml"


def shown(command: str) -> list[str]:
    """The lines that the guide shows below a command."""
    block = GUIDE.split(f"```\n$ {command}\n")[1].split("```")[0]
    return block.splitlines()


@pytest.fixture
def mine(fresh, monkeypatch) -> Project:
    """A checkout with the guide's page."""
    monkeypatch.chdir(fresh.root)
    fresh.path(PAGE).write_text(re.search(r"```yaml\n(.*?)```", GUIDE, re.S)[1])
    fresh.path("rhymes.jsonl").write_text(fresh.path("rows.jsonl").read_text() + "\n")  # not the micro-chain's rows
    for name in ("smollm2.jinja", "zephyr.jinja"):
        shutil.copy(ROOT / "config/templates" / name, fresh.path("config/templates"))
    return fresh


def test_its_page_makes_the_jobs_that_it_shows(mine):
    jobs = mine.planned("models/mine-sft").values()
    counted = [line.split() for line in shown("snakemake -n models/mine-sft --quiet rules")[3:-1]]
    assert {job: int(count) for job, count in counted} == {job: list(jobs).count(job) for job in jobs}


def test_its_scan_has_the_models_that_it_shows(mine):
    plan = frozen.Plan(frozen.freeze_here(), main=False)
    assert [str(plan.suggest("models/mine-sft-rates"))] == shown("snakemake -n models/mine-sft-rates")
    rates = [plan.targets[f"models/{name}"]["own"]["train"] for name in ("mine-sft", "mine-sft-linear")]
    assert [train.get("lr_scheduler_kwargs") for train in rates] == [{"min_lr_rate": 0.1}, None]


def test_its_mistake_is_answered_as_it_shows(mine):
    mine.edit("      batch_size", "      per_device_train_batch_size", PAGE)
    with pytest.raises(SystemExit) as refused:
        frozen.freeze_here()
    assert str(refused.value).splitlines() == shown("snakemake -n models/mine-sft")


def test_its_import_says_what_it_shows(mine, monkeypatch, capsys):
    command = next(line for line in GUIDE.splitlines() if line.startswith("$ posttrain import"))
    shutil.copytree(ROOT / "tests/handbook/2024/orpo", mine.path("orpo"))
    monkeypatch.setattr("sys.argv", command.removeprefix("$ ").split())
    cli.main()
    assert capsys.readouterr().err.splitlines() == shown(command.removeprefix("$ "))
    assert "models/mixtral-orpo" in frozen.read_json(frozen.freeze_here())["targets"]


def test_the_guide_of_scores_has_every_verifier_constraint_and_selection():
    guide = (ROOT / "docs/score-and-select.md").read_text()
    kinds = (scoring.SelectedData, scoring.SelectedPreferences, scoring.JudgedScores)
    chosen = [word for kind in kinds for name in ("select", "mode") for word in words(kind, name)]
    known = [*verifiers.KNOWN, *constraints.CONSTRAINTS, *scoring.SCORERS, *chosen]
    assert len(chosen) == 8
    assert [word for word in known if f"`{word}`" not in guide and f"{word}:" not in guide] == []


def words(kind: type, field: str) -> tuple[str, ...]:
    return get_args(kind.model_fields[field].annotation) if field in kind.model_fields else ()
