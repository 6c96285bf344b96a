"""The guide builds as a site without a dead link, what it shows is what happens, and it leaves nothing out."""

import re
import shutil
import subprocess
from typing import get_args

import pytest

from conftest import ROOT, Project
from posttrain import cli
from posttrain.plan import frozen, opened, pictures
from posttrain.recipes import scoring
from posttrain.score import verifiers
from posttrain.score.verifiers import constraints

GUIDE = (ROOT / "docs/write-a-recipe.md").read_text()
HANDBOOK = (ROOT / "docs/from-the-handbook.md").read_text()
PAGE = "config/recipes/mine.yaml"
SPHINX = ROOT / ".venv-guide/bin/sphinx-build"


def shown(command: str, guide: str = GUIDE) -> list[str]:
    """The lines that a chapter shows below a command."""
    block = guide.split(f"```\n$ {command}\n")[1].split("```")[0]
    return block.splitlines()


@pytest.mark.skipif(not SPHINX.exists(), reason="needs the environment that `make guide` makes")
def test_it_builds_as_a_site_that_fetches_nothing(tmp_path):
    """Dead links and anchors, missing pictures and chapters that no list has are warnings, which fail."""
    command = [SPHINX, "--quiet", "--nitpicky", "--fail-on-warning", "--keep-going", ROOT / "docs", tmp_path]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    fetched = re.compile(r"""(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|woff2?|png|svg)|url\(["']?(?:https?:)?//""")
    texts = {path: path.read_text() for suffix in ("html", "css") for path in tmp_path.rglob(f"*.{suffix}")}
    assert len(texts) > 20
    assert [path.name for path, text in texts.items() if fetched.search(text)] == []


def test_every_picture_is_of_the_page_of_pictures_and_is_shown():
    drawn = {path.stem for path in (ROOT / "docs/pictures").glob("*.svg")}
    guide = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert drawn == set(pictures.read(ROOT)) == set(re.findall(r"\(pictures/(.+?)\.svg\)", guide))


# Reckoned in the chapter, of another chapter's picture, or an evaluation's sampled accuracy, of which there is none.
NOT_DRAWN = {"dpo": {"1.4", "66.7"}, "lora": {"0.6", "56.8", "64.8"}, "sft": {"18.4"}}


def test_a_chapter_tells_shares_as_its_pictures_or_the_campaigns_have_them():
    """Those with a decimal: so where a picture is drawn anew, the chapters that tell its old figures are found."""
    campaigns, strange = (ROOT / "tests/RESULTS.md").read_text(), {}
    for chapter in sorted((ROOT / "docs").glob("*.md")):
        text = chapter.read_text()
        shown = [ROOT / "docs/pictures" / f"{name}.svg" for name in re.findall(r"\(pictures/(.+?)\.svg\)", text)]
        measured = re.findall(r"(\d+\.\d)%", "".join([campaigns, *(path.read_text() for path in shown)]))
        if told := shown and set(re.findall(r"(?<!± )\b(\d+\.\d)\s%", text)) - set(measured):
            strange[chapter.stem] = told
    assert strange == NOT_DRAWN


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
    plan = opened.open_here()
    assert [str(plan.suggest("models/mine-sft-rates"))] == shown("snakemake -n models/mine-sft-rates")
    rates = [plan.targets[f"models/{name}"]["own"]["train"] for name in ("mine-sft", "mine-sft-linear")]
    assert [train.get("lr_scheduler_kwargs") for train in rates] == [{"min_lr_rate": 0.1}, None]


def test_its_mistake_is_answered_as_it_shows(mine):
    mine.edit("      batch_size", "      per_device_train_batch_size", PAGE)
    with pytest.raises(SystemExit) as refused:
        frozen.freeze_here()
    assert str(refused.value).splitlines() == shown("snakemake -n models/mine-sft")


def test_its_import_says_what_it_shows(mine, monkeypatch, capsys):
    command = next(line for line in HANDBOOK.splitlines() if line.startswith("$ posttrain import"))
    shutil.copytree(ROOT / "tests/handbook/2024/orpo", mine.path("orpo"))
    monkeypatch.setattr("sys.argv", command.removeprefix("$ ").split())
    cli.main()
    assert capsys.readouterr().err.splitlines() == shown(command.removeprefix("$ "), HANDBOOK)
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
