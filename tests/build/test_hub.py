"""Fetching from a hub: a small one in this process (hub.py)."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import PAGE, Project, rows, write_lines
from hub import COMMIT, Hub

PAGE_OF_THE_HUB = """\
data:
  hub-rows:
    sources: [{hub: lab/rows, split: train}]
    test: [{hub: lab/rows, split: test}]
models:
  hub-sft:
    method: sft
    base: lab/tiny
    data: hub-rows
    train: {learning_rate: 1e-2, batch_size: 8, max_steps: 2, max_length: 48, bf16: false}
"""
LOCK = f"models: {{lab/tiny: {COMMIT}}}\ndatasets: {{lab/rows: {COMMIT}}}\n"
LOGIN = "set HF_TOKEN, or run `hf auth login`"
MODEL, TOKENIZER = "hub/models--lab--tiny", "hub/tokenizers--lab--tiny"


@pytest.fixture
def hub(hub: Hub, micro_built: Project, tmp_path: Path) -> Hub:
    """A hub with a model, weights in a form that runs code beside the safe one, and a data set with two splits."""
    hub.add("models/lab/tiny", micro_built.path("models/micro-init"))
    hub.repositories["models/lab/tiny"] |= {
        "README.md": b"# tiny\n",
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"!",
    }
    splits = tmp_path / "splits"
    (splits / "data").mkdir(parents=True)
    for split, part in (("train", rows()), ("test", rows()[:5])):
        parquet.write_table(pa.Table.from_pylist(part), splits / f"data/{split}-00000-of-00001.parquet")
    hub.add("datasets/lab/rows", splits)
    return hub


@pytest.fixture
def project(fresh: Project, hub: Hub) -> Project:
    """A checkout whose recipes name that hub's model and rows, both locked."""
    fresh.path(PAGE).write_text(PAGE_OF_THE_HUB)
    fresh.path("config/lock.yaml").write_text(LOCK)
    return fresh


def files(project: Project, target: str) -> set[str]:
    return {path.name for path in project.path(target).rglob("*") if path.is_file()}


def test_a_base_and_rows_of_the_hub_build_a_model(project: Project, hub: Hub) -> None:
    output, trained = project.make("models/hub-sft")
    assert trained == ["models/hub-sft"]
    ledger = json.loads(project.path("data/hub-rows/ledger.json").read_text())
    assert [(entry["of"], entry["kept"]) for entry in ledger["entries"]] == [
        ("sources rows of hub", 32),
        ("test rows of hub", 5),
    ]
    assert files(project, MODEL) >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert not files(project, MODEL) & {
        "pytorch_model.bin",
        "modeling.py",
        "README.md",
    }  # what could run code stays there
    assert files(project, TOKENIZER) >= {"tokenizer.json", "config.json"}
    assert "model.safetensors" not in files(project, TOKENIZER)  # tokens wait for no weights
    assert hub.sent("model.safetensors") == 1
    asked = len(hub.asked)
    assert "Nothing to be done" in project.make("models/hub-sft")[0]
    assert len(hub.asked) == asked


def test_the_weights_are_those_of_the_hub_and_their_commit_is_recorded(project: Project, hub: Hub) -> None:
    project.path("config/lock.yaml").write_text("models: {}\n")  # `main` of the day
    output, _ = project.make(MODEL)
    assert f"{MODEL}: lab/tiny has no commit in config/lock.yaml" in output
    assert (
        project.path(f"{MODEL}/model.safetensors").read_bytes()
        == hub.repositories["models/lab/tiny"]["model.safetensors"]
    )
    assert json.loads(project.path(f"{MODEL}.run.json").read_text())["metrics"]["commit"] == COMMIT


def test_rows_of_the_hub_may_be_lines(project: Project, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    write_lines(tmp_path / "lines/train.jsonl", rows()[:7])
    write_lines(tmp_path / "lines/test.jsonl", rows()[:3])
    hub.add("datasets/lab/rows", tmp_path / "lines")
    project.make("data/hub-rows")
    assert parquet.read_table(project.path("data/hub-rows/train.parquet")).to_pylist() == rows()[:7]
    assert parquet.read_table(project.path("data/hub-rows/test.parquet")).to_pylist() == rows()[:3]


def no_such_repository(project: Project, hub: Hub) -> None:
    del hub.repositories["models/lab/tiny"]


def gated(project: Project, hub: Hub) -> None:
    hub.gated.add("models/lab/tiny")


def no_such_commit(project: Project, hub: Hub) -> None:
    project.edit(COMMIT, "f" * 40, "config/lock.yaml")


def down(project: Project, hub: Hub) -> None:
    hub.down = True


def away(project: Project, hub: Hub) -> None:
    hub.close()


def without_safe_weights(project: Project, hub: Hub) -> None:
    del hub.repositories["models/lab/tiny"]["model.safetensors"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (no_such_repository, f"the hub has no model lab/tiny, or it is private: check the id, or {LOGIN}"),
        (gated, f"lab/tiny is gated: accept its terms on the hub, then {LOGIN}"),
        (no_such_commit, f"lab/tiny has no commit {'f' * 40}; `posttrain lock --update lab/tiny` gives it another"),
        (down, "lab/tiny: the hub answered 503; run again to go on"),
        (away, "lab/tiny: the hub cannot be reached; run again to go on"),
        (without_safe_weights, "lab/tiny has no safetensors; other formats can run code when they are opened"),
    ],
    ids=["no repository", "gated", "no commit", "down", "away", "unsafe"],
)
def test_what_the_hub_refuses_is_said_in_one_line(project: Project, hub: Hub, fault: object, said: str) -> None:
    fault(project, hub)
    output, _ = project.make(MODEL, rc=1)
    assert f"{MODEL}: {said}\n" in output and "Traceback" not in output
    assert not project.path(f"{MODEL}.json").exists()


@pytest.mark.parametrize("lock", [LOCK, "models: {}\n"], ids=["locked", "unlocked"])
def test_half_a_model_is_never_a_model(project: Project, hub: Hub, lock: str) -> None:
    """The connection breaks while the weights come, and the hub is away when the build is run again."""
    project.path("config/lock.yaml").write_text(lock)
    hub.cuts["model.safetensors"] = 99
    project.make(MODEL, rc=1)
    hub.cuts.clear()
    hub.down = True
    output, _ = project.make(MODEL, rc=1)
    assert "run again to go on" in output
    assert not project.path(f"{MODEL}.json").exists()
    hub.down = False
    config = hub.sent("config.json")
    project.make(MODEL)
    assert (
        project.path(f"{MODEL}/model.safetensors").read_bytes()
        == hub.repositories["models/lab/tiny"]["model.safetensors"]
    )
    assert hub.sent("config.json") == config  # what had come whole did not come again
