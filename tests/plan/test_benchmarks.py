"""Suites of lm-eval's tasks: what they are, what an edit costs, where they run, what shares their work."""

import json
import subprocess
from pathlib import Path

import pytest
from test_plan import plan_of
from test_sandbox import bwrap_that

from conftest import PAGE, ROOT, Project, shipped_checkout
from posttrain.plan import frozen
from posttrain.recipes.benchmarks import KNOWN, METRICS, runs_code

EVALUATE = ROOT / ".venv-evaluate/bin/python"
WORDS = """\
# Which word is meant.
task: words
dataset_path: json
dataset_kwargs: {data_files: {test: words.jsonl}}
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [left, right]
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}]
metadata: {version: 1}
"""
SUITES = """\
evals:
  quoted: {models: [micro-sft, micro-dpo], tasks: [ifeval, arc_easy, humaneval]}
  own: {models: [micro-sft], tasks: [words]}
"""
OWN, QUOTED = "evals/micro-sft/own", "evals/micro-sft/quoted"


@pytest.fixture
def asked(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(fresh.root)
    fresh.path("words.jsonl").write_text('{"question": "Not left?", "answer": 1}\n')
    fresh.path("config/tasks/words.yaml").write_text(WORDS)
    fresh.add(SUITES)
    return fresh


def intents(project: Project) -> dict[str, str]:
    return {path: target["intent"] for path, target in plan_of(project).items() if path.startswith("evals/")}


EDITS = {
    "a comment of the task": ("config/tasks/words.yaml", "# Which", "# What", False),
    "the order of its keys": (
        "config/tasks/words.yaml",
        "task: words\ndataset_path: json",
        "dataset_path: json\ntask: words",
        False,
    ),
    "its text": ("config/tasks/words.yaml", "{{question}}", "{{question}}!", True),
    "its rows": ("words.jsonl", "Not left?", "Not right?", True),
    "shards": (PAGE, "tasks: [words]", "tasks: [words], runtime: {shards: 3}", False),
    "a GPU": (PAGE, "tasks: [words]", "tasks: [words], runtime: {gpus: 1, hours: 4}", False),
    "what is unsaid": (PAGE, "tasks: [words]", "tasks: [words], engine: transformers, block_size: 8", False),
    "fewer documents": (PAGE, "tasks: [words]", "tasks: [words], limit: 4", True),
    "a draw of examples": (PAGE, "tasks: [words]", "tasks: [words], seed: 1", True),
    "no template": (PAGE, "tasks: [words]", "tasks: [words], apply_chat_template: false", True),
    "another engine": (PAGE, "tasks: [words]", "tasks: [words], engine: vllm", True),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "another"), EDITS.values(), ids=EDITS)
def test_a_suite_is_what_is_asked_and_how_and_never_where(asked, file, old, new, another):
    before, said = intents(asked), asked.path(file).read_text()
    assert old in said
    asked.path(file).write_text(said.replace(old, new))
    after = intents(asked)
    assert {path for path in after if after[path] != before[path]} == ({OWN} if another else set())


def test_the_job_is_given_the_task_and_the_rows_that_were_planned(asked):
    planned = plan_of(asked)[OWN]
    said = planned["own"]["tasks"]["words"]["config"]
    assert said["doc_to_choice"] == ["left", "right"]
    assert said["dataset_kwargs"] == {"data_files": ["test"]}
    assert planned["files"] == {"data.words.test": "words.jsonl"}


def test_the_rows_of_lm_evals_own_tasks_are_fetched_and_pinned_as_others_are(asked):
    targets = plan_of(asked)
    inputs = targets[QUOTED]["inputs"]
    assert {role: path for role, path in inputs.items() if role != "model"} == {
        "data.ifeval": "hub/datasets--google--IFEval",
        "data.arc_easy": "hub/datasets--allenai--ai2_arc",
        "data.humaneval": "hub/datasets--openai--openai_humaneval",
        "nltk": "hub/wheels--llama-index-core--0.14.25",
    }
    assert targets[QUOTED]["unlocked"] == ["allenai/ai2_arc", "google/IFEval", "openai/openai_humaneval"]
    assert targets["evals/micro-dpo/quoted"]["inputs"].items() >= {"data.ifeval": inputs["data.ifeval"]}.items()
    asked.path("config/lock.yaml").write_text(asked.path("config/lock.yaml").read_text().replace(
        "datasets: {}", f"datasets: {{google/IFEval: {'a' * 40}}}"
    ))  # fmt: skip
    assert "google/IFEval" not in plan_of(asked)[QUOTED]["unlocked"]


def test_lm_eval_runs_in_an_environment_of_its_own_and_vllm_answers_in_its(asked):
    assert plan_of(asked)[OWN]["environment"] == "evaluate"
    asked.edit("tasks: [words]", "tasks: [words], engine: vllm")
    assert plan_of(asked)[OWN]["environment"] == "sample-cpu"
    asked.edit("tasks: [words]", "tasks: [words], runtime: {gpus: 1}")
    assert plan_of(asked)[OWN]["environment"] == "sample"


def test_a_dry_run_names_the_environment_and_the_sandbox_that_are_not_here(asked):
    path = bwrap_that("echo no user namespaces >&2; exit 1", asked.path("bin"))
    output = asked.make("-n", QUOTED, OWN, PATH=path)[0]
    assert output.count("`make evaluate` makes it") == 1
    assert output.count("bwrap makes none here (no user namespaces)") == 1
    assert "bwrap" not in asked.make("-n", OWN)[0]


def test_shards_share_the_work_and_the_evaluation_itself_needs_no_gpu(asked):
    whole = plan_of(asked)
    asked.edit("tasks: [words]", "tasks: [words], runtime: {gpus: 1, shards: 3}")
    targets = plan_of(asked)
    shards = [f"shards/micro-sft/own.{i}of3" for i in (1, 2, 3)]
    assert [targets[OWN]["inputs"][f"shard.{i}"] for i in range(3)] == shards
    said = [(targets[path]["own"]["shard"], targets[path]["own"]["shards"]) for path in shards]
    assert said == [(0, 3), (1, 3), (2, 3)]
    assert {targets[path]["runtime"]["gpus"] for path in shards} == {1}
    assert targets[OWN]["runtime"]["gpus"] == 0
    assert targets[OWN]["environment"] == targets[shards[0]]["environment"] == "evaluate"
    assert targets[OWN]["intent"] == whole[OWN]["intent"]


def test_a_shard_asks_for_programs_and_runs_none(asked):
    asked.edit("humaneval]", "humaneval], runtime: {shards: 2}")
    targets = plan_of(asked)
    assert runs_code(targets[QUOTED]["own"])
    assert not runs_code(targets["shards/micro-sft/quoted.1of2"]["own"])


def test_answers_are_shared_in_the_same_way(asked):
    asked.edit(
        "evals:\n", "evals:\n  right: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match}\n"
    )
    whole = plan_of(asked)["evals/micro-sft/right"]
    asked.edit("verifier: exact_match}", "verifier: exact_match, runtime: {shards: 2}}")
    targets = plan_of(asked)
    assert targets["evals/micro-sft/right"]["intent"] == whole["intent"]
    assert targets["shards/micro-sft/right.2of2"]["rule"] == "evaluate_shard"


@pytest.mark.parametrize(("file", "old", "new", "asks"), [
    ("config/tasks/words.yaml", "{metric: acc}", "{metric: acc_norm}", False),
    ("config/tasks/words.yaml", "version: 1", "version: 2", False),
    ("config/tasks/words.yaml", "{{question}}", "{{question}}!", True),
    (PAGE, "verifier: exact_match", "verifier: number_match", False),
    (PAGE, "verifier: exact_match", "verifier: {file: mine.py, function: right}, time_limit: 5", False),
    (PAGE, "sampling: {n: 2}", "sampling: {n: 4}", True),
])  # fmt: skip
def test_what_is_made_of_answers_asks_no_model_anew(asked, file, old, new, asks):
    asked.path("mine.py").write_text("def right(completion): return 1.0\n")
    asked.edit("tasks: [words]", "tasks: [words], runtime: {shards: 2}")
    asked.add("  right: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match, "
              "sampling: {n: 2}, runtime: {shards: 2}}\n")  # fmt: skip
    before = plan_of(asked)
    asked.edit(old, new, file)
    after = plan_of(asked)
    changed = {path.split("/")[0] for path in after if after[path]["intent"] != before[path]["intent"]}
    assert changed == ({"evals", "shards"} if asks else {"evals"})


def test_a_rehearsal_needs_neither_lm_eval_nor_its_rows(asked, monkeypatch):
    asked.path("rehearsal").mkdir()
    monkeypatch.chdir(asked.path("rehearsal"))
    targets = json.loads(Path(frozen.freeze(Path(".."), {"recipes": ["config/recipes"]})).read_text())["targets"]
    for path in (QUOTED, OWN):
        assert targets[path]["environment"] == "train"
        assert targets[path]["own"]["by_lot"] is True
        assert targets[path]["inputs"].keys() == {"model"}


def test_zephyr_is_asked_what_is_quoted_of_it(tmp_path, monkeypatch):
    project = shipped_checkout(tmp_path / "p")
    monkeypatch.chdir(project.root)
    targets = plan_of(project)
    for model in ("zephyr-7b-sft", "zephyr-7b-dpo"):
        made = targets[f"evals/{model}/quoted"]
        assert (made["environment"], made["runtime"]["gpus"]) == ("sample", 1)
        assert list(made["own"]["tasks"]) == ["gsm8k", "ifeval"]
    assert targets["evals/smollm2-wheel/tasks"]["environment"] == "evaluate"


ABOUT = """\
import json, sys
from pathlib import Path
import lm_eval.tasks
from lm_eval.api import metrics, registry
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

root, said = Path(lm_eval.tasks.__file__).parent, {}
for name, folder in json.loads(sys.argv[1]).items():
    index = TaskManager(include_defaults=False, include_path=str(root / folder)).task_index
    config = load_yaml(index[name].yaml_path, resolve_func=False)
    leaves, rows = [name], set()
    while leaves:
        entry = index[leaves.pop()]
        inner = load_yaml(entry.yaml_path, resolve_func=False) if entry.yaml_path else {}
        leaves += [*entry.tags] if not entry.yaml_path else inner["task"] if "group" in inner else []
        rows |= {inner["dataset_path"]} if "dataset_path" in inner else set()
    said[name] = [float(config["metadata"]["version"]), sorted(rows), bool(config.get("unsafe_code", False))]
print(json.dumps([said, sorted(registry.metric_registry)]))
"""


@pytest.mark.skipif(not EVALUATE.exists(), reason="needs lm-eval: `make evaluate`")
def test_the_table_is_what_lm_eval_has():
    folders = json.dumps({name: benchmark.folder for name, benchmark in KNOWN.items()})
    run = subprocess.run([EVALUATE, "-c", ABOUT, folders], capture_output=True, text=True, check=True)
    said, metrics = json.loads(run.stdout)
    assert said == {name: [known.version, [known.dataset], known.runs_code] for name, known in KNOWN.items()}
    assert {metric for measured in METRICS.values() for metric in measured} <= set(metrics)
