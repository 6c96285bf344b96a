"""Rehearsals: every shipped model, built end to end under rehearsal/ with the real stages, as the real plan has it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT, Project, shipped_checkout, write_lines
from posttrain.handbook import keys
from posttrain.plan import frozen
from posttrain.plan.lineage import lineage
from posttrain.recipes import bases, identity

pytestmark = pytest.mark.xdist_group("rehearsal")  # all models are rehearsed once
BASES = bases.read(ROOT / "config/bases.yaml")
IMITATED = ("fetch_snapshot", "fetch_wheel", "convert_gguf")
TRAINERS = {"cpt": "SFTTrainer", "sft": "SFTTrainer", "reward": "RewardTrainer", "dpo": "DPOTrainer"}
TRAINERS |= {"kto": "KTOTrainer", "orpo": "ORPOTrainer", "simpo": "CPOTrainer"}
# All that a rehearsal says otherwise of what a target is.
SMALL = {f"train.{name}" for name in ("batch_size", "max_steps", "warmup_steps", "max_length", "optim")}
SMALL |= {"max_length", "fewer", "by_lot", "micro_batch_size", "processes", "min_margin", "length_penalty"}
SMALL |= {
    f"{said}.{name}"
    for said in ("sampling", "judging")
    for name in ("engine", "n", "max_new_tokens", "block_size", "ends")
}
SMALL |= {"conversation.few_shot"}
SMALL |= {f"architecture.{name}" for name in ("hidden_size", "intermediate_size", "num_hidden_layers")}
SMALL |= {f"{part}.{name}" for part in ("sources", "test") for name in ("rows", "skip")}

WEIGHTS = ("model.safetensors", "adapter_model.safetensors")


@pytest.fixture(scope="module")
def plans(tmp_path_factory) -> dict[str, dict]:
    """The targets of the shipped recipes, as they are and rehearsed."""
    project = shipped_checkout(tmp_path_factory.mktemp("plans") / "p")
    project.path("rehearsal").mkdir()
    made = {}
    for name, folder, root in (("real", ".", ""), ("rehearsed", "rehearsal", "..")):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project.path(folder))
            plan = frozen.freeze(Path(root), {"recipes": ["config/recipes"]})
            made[name] = json.loads(Path(plan).read_text())["targets"]
    return made


def named(targets: dict[str, dict]) -> dict[str, dict]:
    """The targets that a person named: others are named by what they are, which a rehearsal changes."""
    return {path: target for path, target in targets.items() if path.startswith(frozen.NAMED)}


def differences(one: object, other: object, at: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {*one, *other}:
            yield from differences(one.get(key), other.get(key), f"{at}.{key}" if at else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for a, b in zip(one, other, strict=True):
            yield from differences(a, b, at)
    elif one != other:
        yield at


def test_a_rehearsal_has_the_same_targets_by_the_same_stages_and_says_what_is_small(plans):
    real, rehearsed = named(plans["real"]), named(plans["rehearsed"])
    assert real.keys() == rehearsed.keys()
    for path, target in real.items():
        if target["stage"] in IMITATED:
            assert rehearsed[path]["stage"] == "imitate_snapshot", path
            continue
        assert set(differences(target["own"], rehearsed[path]["own"])) <= SMALL, path
        inputs, small = (identity.counted(made["inputs"]) for made in (target, rehearsed[path]))
        if "tasks" in target["own"]:  # figures by lot are of no rows
            inputs = {role: made for role, made in inputs.items() if role.startswith("model")}
        assert inputs.keys() == small.keys(), path
        for role, made in inputs.items():
            assert made.split("/")[0] == small[role].split("/")[0], path


def test_a_rehearsal_speaks_by_the_same_templates_and_is_one_process_on_a_cpu(plans):
    spoken = {name: [t for t in made.values() if t["stage"] != "imitate_snapshot"] for name, made in plans.items()}
    texts = {name: {t["texts"]["template"] for t in made if "template" in t["texts"]} for name, made in spoken.items()}
    assert texts["real"] == texts["rehearsed"]
    for path, target in plans["rehearsed"].items():
        runtime = target["runtime"]
        assert (runtime.get("gpus", 0), runtime.get("processes", 1), runtime.get("nodes", 1)) == (0, 1, 1), path


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory) -> Project:
    project = shipped_checkout(tmp_path_factory.mktemp("rehearsed") / "p")
    project.path("config/recipes/guide.yaml").unlink()  # the quickstart's models by other numbers, and many
    project.make("all", "--profile", "rehearse", timeout=1800)
    return Project(project.path("rehearsal"))


def test_every_shipped_model_rehearses_end_to_end(rehearsed):
    targets = rehearsed.targets()
    models = [path for path in targets if path.startswith("models/")]
    assert len(models) > 100
    for path in models:
        assert any((rehearsed.path(path) / name).is_file() for name in WEIGHTS), path
    assert not rehearsed.root.parent.joinpath("models").exists(), "a rehearsal stays in its folder"


def test_a_rehearsed_model_is_of_its_bases_type_and_its_methods_trainer(rehearsed):
    targets = rehearsed.targets()
    for path, target in targets.items():
        if path.startswith(("models/", "checkpoints/")) and target["stage"].startswith("train_"):
            run = json.loads(rehearsed.path(f"{path}.run.json").read_text())
            assert run["metrics"]["trainer"] == TRAINERS[target["own"]["method"]], path
    for path in lineage(targets, *(path for path in targets if path.startswith("models/"))):
        target = targets[path]
        if target["stage"] == "imitate_snapshot" and target["own"]["kind"] == "models":
            base = BASES[target["own"]["repo_id"].partition("@")[0]]
            config = json.loads((rehearsed.path(path) / "config.json").read_text())
            assert config["model_type"] == base.config["model_type"]
            assert grouped(config) == grouped(base.config), "grouped queries stay grouped"


def grouped(config: dict) -> bool:
    heads = config.get("num_attention_heads")
    return config.get("num_key_value_heads", heads) != heads


def test_a_second_rehearsal_makes_nothing(rehearsed):
    output, trained = Project(rehearsed.root.parent).make("all", "--profile", "rehearse")
    assert "Nothing to be done" in output and trained == []


def test_every_imported_page_of_the_handbook_rehearses(fresh):
    fresh.path("config/recipes/micro.yaml").unlink()
    for number, path in enumerate(sorted((ROOT / "tests/handbook").rglob("*.yaml"))):
        text, made = keys.read(path, None, f"imported-{number}", 8, ROOT / "config/templates")
        if any(bases.UNOPENED in said for said in made.unknown):
            text = re.sub("sft-q?lora", "sft-full", text)
        fresh.path(f"config/recipes/{number}.yaml").write_text(text)
    fresh.make("all", "--profile", "rehearse")


PAGE = """\
use:
  models/old: {base}
data:
  own: {{sources: [{{path: rows.jsonl}}]}}
models:
  new:
    method: sft
    base: old
    data: own
    template: bytes
    added_tokens: [<|user|>, <|assistant|>]
    train: {{learning_rate: 1e-3, batch_size: 64, max_length: 4096}}
    runtime: {{gpus: 8, launch: zero3}}
"""


SCORERS = """\
completions:
  tries: {model: mistralai/Mistral-7B-Instruct-v0.1, prompts: own, sampling: {n: 4}}
scores:
  rated: {completions: tries, judge: mistralai/Mistral-7B-Instruct-v0.1, rubric: helpful}
  paired: {completions: tries, judge: mistralai/Mistral-7B-Instruct-v0.1, rubric: better, mode: pairwise}
  checked: {completions: tries, verifier: {file: check.py, function: check}, on_error: drop}
  sums: {combine: {rated: 1, paired: 10, checked: -1}}
data:
  own: {sources: [{path: rows.jsonl, rows: 4}]}
  good: {scores: sums, select: threshold, min_score: 9, length_penalty: 0.5}
preferences:
  second: {scores: sums, select: best_vs_second, min_margin: 3}
"""


def test_scorers_of_every_kind_rehearse_and_leave_something_to_choose(fresh):
    fresh.path("config/recipes/micro.yaml").write_text(SCORERS)
    fresh.path("check.py").write_text("def check(completion):\n    return int(completion)\n")
    fresh.make("data/good", "preferences/second", "--profile", "rehearse")
    rehearsal = Project(fresh.path("rehearsal"))
    for path in ("data/good", "preferences/second"):
        (ledger, *_) = json.loads((rehearsal.path(path) / "ledger.json").read_text())["entries"]
        assert (ledger["read"], ledger["kept"]) == (4, 4)
    for name, replies in (("rated", 16), ("paired", 32)):
        asked = json.loads((rehearsal.path("scores") / name / "ledger.json").read_text())["entries"][1]
        assert (asked["of"], asked["read"]) == ("replies", replies), "the judge was not asked"


def test_a_base_that_nothing_is_known_of_is_refused_with_what_to_do(fresh):
    fresh.path("config/recipes/micro.yaml").write_text(PAGE.format(base="lab/unknown"))
    *_, said = fresh.refused("models/new", "--profile", "rehearse").splitlines()
    assert said.startswith("config/bases.yaml: has no lab/unknown, which models/old stands for: a rehearsal needs its ")


def test_a_folder_in_a_models_place_is_rehearsed_by_its_own_config(micro_built, fresh):
    folder = fresh.path("elsewhere")
    folder.mkdir()
    for file in sorted(micro_built.path("models/micro-sft").iterdir()):
        (folder / file.name).write_bytes(file.read_bytes())
    fresh.path("config/recipes/micro.yaml").write_text(PAGE.format(base="elsewhere"))
    fresh.make("models/new", "--profile", "rehearse")
    config = json.loads(fresh.path("rehearsal/models/new/config.json").read_text())
    assert (config["model_type"], config["hidden_size"]) == ("llama", 32)


def test_selected_rows_and_pairs_are_there_whatever_the_models_say(rehearsed):
    paths = ["data/zephyr-7b-rs-best", "preferences/zephyr-7b-rs-pairs", "preferences/zephyr-7b-round-3"]
    for path in (*paths, "data/cai-harmless", "preferences/cai-harmless", "data/grok-harmless"):
        (ledger, *_) = json.loads((rehearsed.path(path) / "ledger.json").read_text())["entries"]
        assert ledger["kept"] > 0, path


PARTED = """\
data:
  folds:
    sources: [{hub: a/b, where: {fold: [0, 1], lang: en}}, {hub: a/b, where: {fold: 1, lang: nl}}]
    test: [{hub: a/b, where: {fold: 2, lang: en}}, {hub: a/b, split: test, where: {fold: 3, lang: fy}}]
"""


def test_a_split_that_is_parted_by_its_columns_gives_rows_to_every_part(fresh):
    fresh.path("config/recipes/micro.yaml").write_text(PARTED)
    fresh.make("data/folds", "--profile", "rehearse")
    run = json.loads(fresh.path("rehearsal/data/folds.run.json").read_text())
    assert (run["metrics"]["train_rows"], run["metrics"]["test_rows"]) == (3 * 72, 2 * 72)


def test_what_a_rehearsal_reads_of_a_file_is_its_first_rows(fresh):
    write_lines(fresh.path("rows.jsonl"), [{"text": f"row {i}"} for i in range(1000)])
    fresh.path("config/recipes/micro.yaml").write_text("data:\n  own: {sources: [{path: rows.jsonl}]}\n")
    fresh.make("data/own", "--profile", "rehearse")
    run = json.loads(fresh.path("rehearsal/data/own.run.json").read_text())
    assert run["metrics"]["train_rows"] == 64
