"""The page of a family and `posttrain compare`: what they show is what stands; and what a browser says of pages."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file
from test_report import FETCHES, SUITE, Reader

from conftest import DPO, SFT, Project
from posttrain.evaluate import points
from posttrain.report import answers, builds, draw, family, page, sizes
from posttrain.words import volume

FAMILY, REPORT = "reports/micro.html", "reports/micro-dpo.html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ERROR = '<p id="p"></p><script>console.error("seen")</script>'


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which the pages of a family and of a model of it were made."""
    project = micro_built.copy(tmp_path_factory.mktemp("family") / "p")
    project.add(SUITE)
    project.make(FAMILY, REPORT)
    return project


def figures(project: Project, model: str) -> dict[str, dict]:
    return json.loads(project.path(f"evals/{model}/spelling/figures.json").read_text())["figures"]


def test_the_page_of_a_family_needs_no_other_file(once):
    text = once.path(FAMILY).read_text()
    read = Reader(text)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not FETCHES & read.attributes.keys()
    assert "url(" not in text and "@import" not in text and "http" not in text


def test_a_family_is_shown_side_by_side(once):
    said = Reader(once.path(FAMILY).read_text()).text
    assert "3 models, of 2 other artifacts" in said
    for model in ("micro-sft", "micro-dpo"):
        found = figures(once, model)["sampled_accuracy"]
        assert f"{model} {draw.worth('accuracy', found['value'])}" in said
    for target in (SFT, DPO, "data/micro-rows", "evals/micro-dpo/spelling"):
        assert once.manifest(target)["key"] in said


def test_a_model_is_held_against_the_one_it_was_made_from_on_its_own_page_too(once, monkeypatch):
    monkeypatch.chdir(once.root)
    ours, theirs = (pd.read_parquet(f"evals/{name}/spelling/points.parquet") for name in ("micro-dpo", "micro-sft"))
    for shown in (
        page.shown(once.targets(), DPO),
        family.shown(once.targets(), "micro", ["models/micro-init", SFT, DPO]),
    ):
        assert [(made.figure, made.model, made.base) for made in shown["comparisons"]] == [
            ("accuracy", "micro-dpo", "micro-sft"),
            ("sampled_accuracy", "micro-dpo", "micro-sft"),
        ]
        for made in shown["comparisons"]:
            assert made.difference == points.difference(ours, theirs, made.figure)


def test_prompts_that_models_disagree_on_are_counted_and_not_picked(once, tmp_path):
    evals = {name: str(once.path(f"evals/{name}/spelling")) for name in ("micro-sft", "micro-dpo")}
    for name, path in evals.items():
        frame = pd.read_parquet(f"{path}/samples.parquet")
        frame["score"] = [float(row.prompt_id % (3 if name == "micro-sft" else 5) == 0) for row in frame.itertuples()]
        (tmp_path / name).mkdir()
        frame.to_parquet(tmp_path / name / "samples.parquet")
    found = answers.disagreements({name: str(tmp_path / name) for name in evals}, shown=4)
    apart = [i for i in range(found["prompts"]) if (i % 3 == 0) != (i % 5 == 0)]
    assert (found["apart"], len(found["rows"])) == (len(apart), 4)
    for row in found["rows"]:
        assert len({made["right"] for made in row["answers"]}) == 2


def test_sizes_are_what_stands(once, monkeypatch):
    monkeypatch.chdir(once.root)
    weights = sum(array.size for array in load_file(f"{DPO}/model.safetensors").values())
    size = sum(path.stat().st_size for path in Path(DPO).iterdir())
    assert sizes.of(once.targets(), DPO) == f"{sizes.short(weights)} parameters, {volume(size)}"
    assert sizes.of(once.targets(), "data/micro-rows").startswith("32 rows, ")
    tokens = next(path for path, made in once.targets().items() if made["inputs"].get("rows") == "data/micro-rows")
    assert f"{once.manifest(f'{tokens}.run')['metrics']['tokens']} tokens" in sizes.of(
        once.targets(), "data/micro-rows"
    )
    assert [sizes.short(n) for n in (4000, 74_762, 134_515_008, 7_241_732_096)] == ["4000", "74.8 k", "135 M", "7.24 G"]


def test_what_targets_share_is_paid_once_and_gpus_by_the_hour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = {"seconds": 1800, "launch": {"gpus": 8}, "hardware": {"gpus": ["H100"] * 8}}
    for name in ("a", "twin"):
        Path(f"{name}.run.json").write_text(json.dumps(run))
        Path(f"{name}.json").write_text('{"key": "same"}')
    Path("c.run.json").write_text(json.dumps({"seconds": 60, "metrics": {"shard_seconds": 3600}}))
    shards = {"inputs": {"shard.0": "s"}}, {"inputs": {}, "runtime": {"gpus": 1}}
    made = builds.builds_of(
        {"a": {"inputs": {}}, "twin": {"inputs": {}}, "c": shards[0], "s": shards[1]}, ["a", "twin", "c"]
    )
    assert builds.cost(made) == {"seconds": 1800 + 3660, "gpu_hours": 4 + 1, "gpus": "H100"}


def test_compare_says_figures_recipes_and_answers(once):
    said = once.posttrain("compare", "micro-sft", "models/micro-dpo", "--samples", "2")
    for model in ("micro-sft", "micro-dpo"):
        assert draw.worth("accuracy", figures(once, model)["sampled_accuracy"]["value"]) in said
    assert all(name in said for name in figures(once, "micro-dpo"))
    assert "2 differences were looked at; " in said, "as on the page"
    assert re.search(r"train\.beta +unset +0\.1\n", said)
    assert re.search(r"spelling: \d+ of 32 prompts some answer right and others wrong", said)
    assert "not built" not in said


def test_compare_names_the_command_that_makes_what_is_missing(once, tmp_path):
    project = once.copy(tmp_path / "p")
    project.edit("beta: 0.1,", "beta: 0.2,")
    said = project.posttrain("compare", "micro-sft", "micro-dpo")
    assert said.splitlines()[-1].endswith("snakemake evals/micro-dpo/spelling")
    assert "differences were looked at" not in said
    assert "train.beta" in said


@pytest.mark.parametrize(
    ("models", "why"),
    [
        (["micro-sft", "micro-dpp"], "micro-dpp: there is no such model. Did you mean micro-dpo?"),
        (["micro-sft"], "compare takes two models or more, each once"),
        (["micro-sft", "models/micro-sft"], "compare takes two models or more, each once"),
    ],
)
def test_compare_refuses(once, models, why):
    assert once.posttrain("compare", *models, rc=1).strip() == why


def test_snakemakes_own_report_holds_the_pages_with_captions_and_categories(once, tmp_path):
    """Without a network: its scripts are in the package."""
    once.make("--report", str(tmp_path / "all.html"), FAMILY, REPORT, HTTPS_PROXY="http://127.0.0.1:9")
    text = (tmp_path / "all.html").read_text()
    results = json.loads(re.search(r"var results = (\{.*\});", text)[1])
    assert set(results) == {FAMILY, REPORT}
    assert "what it is worth beside the models" in results[REPORT]["caption"]
    assert json.loads(re.search(r"var categories = (\{.*\});", text)[1]).keys() == {"Models", "Families"}
    assert "What posttrain has built" in text


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")
def test_a_browser_finds_nothing_wrong_with_a_page(once, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(ERROR)
    assert "seen" in console(broken, tmp_path)
    for name in (FAMILY, REPORT):
        assert console(once.path(name), tmp_path) == ""


def console(path: Path, home: Path) -> str:
    """What a browser writes to its console when it opens a page."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0", "--dump-dom")
    command = [CHROMIUM, *flags, f"--user-data-dir={home}/chromium", path.resolve().as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "</html>" in run.stdout
    return "\n".join(line for line in run.stderr.splitlines() if "CONSOLE" in line)
