"""Every mistake we could think of is refused in one clear line, before any training: the table is broken.py."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import broken
import pytest
import yaml
from broken import MODELS, PLAN, ROWS
from conftest import DPO, SFT, Project, checkout, clean_environment

from posttrain.plan import frozen

NOISE = re.compile(r"Traceback|Exception|\bError\b|SystemExit")


def answers(says: str, line: str) -> bool:
    """Whether a line is the one that the table promises, where … is any text."""
    return re.fullmatch(".*".join(map(re.escape, says.split("…"))), line) is not None


@pytest.fixture
def sound(tmp_path: Path) -> Project:
    return checkout(tmp_path / "p", broken.SOUND)


def planned(project: Project, patch: pytest.MonkeyPatch) -> dict:
    """The plan of a checkout, made in this process as the Snakefile's does it."""
    patch.chdir(project.root)
    config = yaml.safe_load(project.path("config/config.yaml").read_text())
    return frozen.read_json(frozen.freeze(Path("."), config))["targets"]


def test_the_table_has_a_sound_page_to_break(sound, monkeypatch):
    assert {"models/dpo", "models/sft", "data/rows"} <= set(planned(sound, monkeypatch))


def test_each_row_of_the_table_is_another_refusal():
    rows = [(row.id, row.says) for row in (*PLAN, *ROWS, *MODELS)]
    assert len({said for _, said in rows}) == len({name for name, _ in rows}) == len(rows)


@pytest.mark.parametrize("row", [row for row in PLAN if not row.real], ids=lambda row: row.id)
def test_the_plan_refuses(row, sound, monkeypatch, record_property):
    row.breaks(sound.root)
    with pytest.raises(SystemExit) as refused:
        planned(sound, monkeypatch)
    first = str(refused.value).splitlines()[0]
    record_property("refusal", (row.id, row.target, first))
    assert answers(row.says, first), first


@pytest.mark.parametrize("row", [row for row in PLAN if row.real], ids=lambda row: row.id)
def test_snakemake_says_the_refusal_and_no_more(row, sound, record_property):
    row.breaks(sound.root)
    own = [line for line in sound.refused("-n", row.target).splitlines() if not line.startswith(HERALDS)]
    record_property("refusal", (row.id, row.target, own[0]))
    assert answers(row.says, own[0]), own
    assert not any(map(NOISE.search, own)), own
    assert sound.started() == []


# What Snakemake says of itself before it reads a Snakefile to its end.
HERALDS = ("Using workflow specific profile", "Assuming unrestricted shared", "Building DAG", "host:")


def log_of(project: Project, target: str, rule: str) -> list[str]:
    return project.path(f"logs/{rule}/{target.split('/', 1)[1]}.log").read_text().splitlines()


@pytest.fixture(scope="session")
def refused_jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, dict[str, tuple[str, str]]]:
    """One build of everything that only a job can refuse: the checkout, its output, and each row's target and rule."""
    project = checkout(tmp_path_factory.mktemp("refused") / "p", broken.SOUND)
    page: dict = {"data": {}, "preferences": {}, "models": {}}
    for row in ROWS:
        project.path(f"{row.name}.{row.form}").write_bytes(row.rows)
        source = {"path": f"{row.name}.{row.form}", **yaml.safe_load(row.said)}
        page[row.section][row.name] = {"sources": [source]}
    for row in MODELS:
        if row.template:
            project.path(f"config/templates/{row.name}.jinja").write_text(row.template)
        page["models"][row.name] = yaml.safe_load("{" + row.recipe.replace("TEMPLATE", row.name) + "}")
    project.path("config/templates/plain.jinja").write_text(broken.PLAIN)
    page["models"]["plain"] = {**yaml.safe_load("{" + broken.NEW + "}"), "template": "plain"}
    project.path("config/recipes/odd.yaml").write_text(yaml.safe_dump(page))
    with pytest.MonkeyPatch.context() as patch:
        plan = planned(project, patch)
    rules = {"data": "mix_data", "preferences": "mix_preferences"}
    asked = {row.id: (f"{row.section}/{row.name}", rules[row.section]) for row in ROWS}
    asked |= {row.id: (maker(plan, f"models/{row.name}", row.stage), row.stage) for row in MODELS}
    output, _ = project.make("--keep-going", *[target for target, _ in asked.values()], rc=1)
    return project, output, asked


def maker(plan: dict, model: str, stage: str) -> str:
    """The target among a model and what it is made of that a stage makes."""
    return next(path for path in (model, *plan[model]["inputs"].values()) if plan[path]["stage"] == stage)


@pytest.mark.parametrize("row", [*ROWS, *MODELS], ids=lambda row: row.id)
def test_a_job_refuses(row, refused_jobs, record_property):
    project, output, asked = refused_jobs
    target, rule = asked[row.id]
    said = log_of(project, target, rule)
    record_property("refusal", (row.id, target, said[-1]))
    file = f"{row.name}.{getattr(row, 'form', '')}"
    assert answers(f"{target}: {row.says.replace('FILE', file)}", said[-1]), said
    assert not any(map(NOISE.search, said)), said
    assert f"\n{said[-1]}\n" in output, "the log is not shown"
    assert not project.path(f"{target}.json").exists()
    assert not list(project.root.glob(f"work/{target}.*/checkpoints/*")), "refused only after training had begun"
