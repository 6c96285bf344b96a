"""What is fetched from a hub that is slow, full or far away, and what is said of ids without a commit."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from conftest import PAGE, Project, rows
from hub import COMMIT, Hub

PAGE_OF_THE_HUB = """\
data:
  hub-rows: {sources: [{hub: lab/rows}]}
use:
  models/bought: lab/tiny@it-SFT
"""
ROWS, MODEL = "hub/datasets--lab--rows", "models/bought"
CHUNK = 10 << 20  # huggingface_hub writes so much at once
WEIGHTS = save({"all": np.arange(CHUNK * 2, dtype=np.uint8)})


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """A hub with a model that nobody opens, and rows."""
    hub.add("models/lab/tiny", **{"it-SFT": "b" * 40})
    hub.repositories["models/lab/tiny"] = {"model.safetensors": WEIGHTS, "config.json": b"{}"}
    hub.add("datasets/lab/rows")
    hub.repositories["datasets/lab/rows"]["train.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows()).encode()
    return hub


@pytest.fixture
def project(fresh: Project, hub: Hub) -> Project:
    fresh.path(PAGE).write_text(PAGE_OF_THE_HUB)
    return fresh


def run_record(project: Project, target: str) -> dict:
    return json.loads(project.path(f"{target}.run.json").read_text())


def test_a_cut_connection_goes_on_where_it_stopped(project, hub):
    hub.cuts["model.safetensors"] = 2
    project.make(MODEL)
    assert project.path(f"{MODEL}/model.safetensors").read_bytes() == WEIGHTS
    assert hub.resumed == [("model.safetensors", CHUNK)] * 2


@pytest.mark.parametrize("target", [ROWS, MODEL])
def test_a_hub_that_is_asked_too_often_is_waited_for(project, hub, target):
    """Of the first question; huggingface_hub itself waits for the list of files, and for a file."""
    hub.busy = 3
    project.make(target)
    assert hub.busy == 0
    assert run_record(project, target)["metrics"]["commit"] == (COMMIT if target == ROWS else "b" * 40)


def test_what_descends_from_an_unlocked_id_is_not_reproducible_and_its_page_says_so(project, hub):
    output, _ = project.make("data/hub-rows", "reports/bought.html")
    assert (
        f"{MODEL}: lab/tiny@it-SFT has no commit in config/lock.yaml; `it-SFT` as first fetched is used, and what is "
        "made of it is not reproducible. `posttrain lock` gives it a commit"
    ) in output
    made = {"data/hub-rows": "lab/rows", ROWS: "lab/rows", MODEL: "lab/tiny@it-SFT"}
    for target, hub_id in made.items():
        said = run_record(project, target)
        assert (said["reproducible"], said["unlocked"]) == (False, [hub_id])
    said = "Not reproducible: lab/tiny@it-SFT had no commit in config/lock.yaml."
    assert said in project.path("reports/bought.html").read_text()
    rows = project.manifest("data/hub-rows")
    project.posttrain("lock")
    output, _ = project.make("data/hub-rows", "reports/bought.html")
    assert run_record(project, MODEL)["reproducible"], output
    assert said not in project.path("reports/bought.html").read_text()
    assert project.manifest("data/hub-rows") == rows, "the commit is that of the day"
    project.path("data/hub-rows.json").unlink()
    project.make("data/hub-rows")
    assert run_record(project, "data/hub-rows")["reproducible"]
