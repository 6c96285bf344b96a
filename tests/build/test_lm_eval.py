"""Tasks by the real lm-eval, of a tiny model: its figures are lm-eval's, and several jobs make what one does."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from conftest import ROOT, WORDS, Project, clean_environment, write_lines
from posttrain.build.processes import PACKAGE

ENVIRONMENT = ROOT / ".venv-evaluate"
LM_EVAL = next(ENVIRONMENT.glob("lib/*/site-packages/lm_eval"), None)
pytestmark = pytest.mark.skipif(not (ENVIRONMENT / "ready").exists(), reason="needs lm-eval: `make evaluate`")
TASKS = {
    "echo": """\
task: echo
dataset_path: json
dataset_kwargs: {data_files: {test: echo.jsonl, examples: echo.jsonl}}
output_type: generate_until
fewshot_split: examples
num_fewshot: 1
doc_to_text: "{{word}}"
doc_to_target: "{{word}} {{next}}"
generation_kwargs: {until: ["!"], max_gen_toks: 12}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
""",
    "choose": """\
task: choose
dataset_path: json
dataset_kwargs: {data_files: {test: echo.jsonl, examples: echo.jsonl}}
output_type: multiple_choice
fewshot_split: examples
doc_to_text: "{{word}}"
doc_to_choice: "{{[word, next]}}"
doc_to_target: "{{word|length % 2}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 2}
""",
    "surprise": """\
task: surprise
dataset_path: json
dataset_kwargs: {data_files: {test: echo.jsonl}}
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{word}} {{next}}"
num_fewshot: 0
metric_list: [{metric: bits_per_byte}]
metadata: {version: 1}
""",
}
SUITE = """\
  micro-lora:
    method: sft
    base: micro-sft
    data: micro-rows
    train: {learning_rate: 1e-2, batch_size: 8, max_steps: 2, max_length: 48, bf16: false, seed: 1}
    peft: {r: 4, target_modules: all-linear}
evals:
  lm: {models: [micro-sft, micro-lora], tasks: [echo, choose, surprise], block_size: 3}
  lm-shared: {models: [micro-sft], tasks: [echo, choose, surprise], block_size: 3, runtime: {shards: 2}}
"""
LM, LORA = "evals/micro-sft/lm", "evals/micro-lora/lm"
# In one process, for to import lm-eval takes longer than all that is done with it here.
JOBS = """\
import json, os, shutil, sys
from copy import deepcopy
from importlib import import_module
from pathlib import Path
import jinja2
import lm_eval.utils
from posttrain.build import sandbox
from posttrain.build.job import Job, inputs_of
from posttrain.evaluate import benchmarks, code
from posttrain.files import Refusal, read_json

plan, path, lora, out = read_json(sys.argv[1])["targets"], *sys.argv[2:4], Path(sys.argv[4])
target = plan[path]


def job(name, recipe, path=path, **inputs):
    (out / name / "files").mkdir(parents=True)
    found = inputs_of(plan[path], out / name) | inputs
    files = {role: Path(place) for role, place in target["files"].items()}
    return Job(path, deepcopy(recipe), found, files, {}, target["runtime"], out / name)


def shared(of):
    asks = plan["shards/micro-sft/lm-shared.1of2"]["own"]
    parts = [job(f"{of}.{i}", asks | {"shard": i, "shards": of}) for i in range(of)]
    for part in parts:
        benchmarks.answer_shard(part)
    whole = job(f"{of}", target["own"], **{f"shard.{i}": part.out for i, part in enumerate(parts)})
    whole.runtime = {}  # it asks no model
    return benchmarks.evaluate(whole), whole


def said(made, job):
    return {"points": made.points, "samples": made.samples, "counts": made.counts, "warnings": made.warnings,
            "about": read_json(job.out / "tasks.json")}


filters = set(lm_eval.utils.env.filters)
alone = job("alone", target["own"])
more = job("more", target["own"] | {"limit": 2, "num_fewshot": 2})
cut = job("cut", target["own"] | {"limit": 2, "max_new_tokens": 50})
full = job("full", target["own"] | {"max_new_tokens": 64})
odd = job("odd", target["own"])
shutil.copytree(odd.inputs["model"], odd.out / "model")
odd.inputs["model"] = odd.out / "model"
asks = {"repetition_penalty": 50.0, "no_repeat_ngram_size": 1, "min_new_tokens": 9}
(odd.inputs["model"] / "generation_config.json").write_text(json.dumps(asks))
versions = {"bbh": 3, "hellaswag": 1, "mmlu": 2, "truthfulqa_mc2": 3}
known = {"tasks": {name: {"version": version, "runs_code": False} for name, version in versions.items()}}
rows = {f"data.{name}": Path(name).absolute() for name in versions}
known = job("known", target["own"] | known | {"max_new_tokens": 1}, **rows)
few = job("few", target["own"] | {"limit": 2, "apply_chat_template": False, "max_new_tokens": 1})
adapter = job("adapter", target["own"], path=lora)
programs = ["def f(): return 1", "f = 2"]
worth = [] if sandbox.lacking() else code.CodeEval(runs=True).compute(["assert f() == 1"], [programs], [1, 2])
jobs = (alone, few, adapter, more, cut, odd, known)
made = {job.out.parent.name: said(benchmarks.evaluate(job), job) for job in jobs}
made |= {"three": said(*shared(3)), "seven": said(*shared(7))}
try:
    refused = benchmarks.evaluate(full)
except Refusal as refusal:
    refused = str(refusal)
full.recipe["tasks"]["choose"]["config"]["doc_to_text"] = "{{wrod}}"
try:
    odd_column = benchmarks.evaluate(full)
except Refusal as refusal:
    odd_column = str(refusal)
try:
    reached = lm_eval.utils.apply_template("{{ (cycler|attr('__init__')|attr('__globals__'))['os'].getpid() }}", {})
except jinja2.TemplateError:
    reached = ""
os.environ["PATH"] = ""  # where there is no sandbox
code.serve(runs=False)
asked = hasattr(import_module("lm_eval.tasks.humaneval.utils"), "pass_at_k")
same = filters == set(lm_eval.utils.env.filters) and lm_eval.utils.env.sandboxed
made |= {"worth": worth, "reached": reached, "same": same, "asked": asked, "refused": refused}
print("SAID", json.dumps(made | {"odd_column": odd_column}))
"""


HELLASWAG = {"activity_label": "Spelling", "ctx_a": "A word.", "ctx_b": "it", "endings": list("abcd"), "label": "1"}
MMLU = {"question": "Which?", "choices": list("abcd"), "answer": 1}
TRUTHFULQA = {
    "question": "Is it?",
    **dict.fromkeys(("mc1_targets", "mc2_targets"), {"choices": ["a", "b"], "labels": [1, 0]}),
}


def on_the_hub(folder: Path, configs: dict[str, dict[str, list[dict]]]) -> None:
    """Rows as a repository of the hub has them, of each split of each configuration a file."""
    folder.mkdir()
    said = []
    for config, splits in configs.items():
        files = [{"split": split, "path": f"{config}.{split}.jsonl"} for split in splits]
        said.append({"config_name": config, "data_files": files})
        for file in files:
            write_lines(folder / file["path"], splits[file["split"]])
    (folder / "README.md").write_text(f"---\n{json.dumps({'configs': said})}\n---\n")


@pytest.fixture(scope="module")
def project(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = micro_built.copy(tmp_path_factory.mktemp("benchmarks") / "p")
    write_lines(made.path("echo.jsonl"), [{"word": a, "next": b} for a, b in zip(WORDS, WORDS[3:], strict=False)])
    for name, said in TASKS.items():
        made.path(f"config/tasks/{name}.yaml").write_text(said)
    made.add(SUITE)
    parts = sorted(part.stem for part in (LM_EVAL / "tasks/bbh/cot_fewshot").glob("[!_]*.yaml"))
    bbh = {part: {"test": [{"input": part, "target": "yes"}] * (1 + (part == parts[0]))} for part in parts}
    on_the_hub(made.path("bbh"), bbh)
    on_the_hub(made.path("hellaswag"), {"default": {"train": [HELLASWAG], "validation": [HELLASWAG]}})
    subjects = [
        yaml.safe_load(part.read_text())["dataset_name"] for part in LM_EVAL.glob("tasks/mmlu/default/mmlu_*.yaml")
    ]
    on_the_hub(made.path("mmlu"), {name: {"test": [MMLU], "dev": [MMLU]} for name in sorted(subjects)})
    on_the_hub(made.path("truthfulqa_mc2"), {"multiple_choice": {"validation": [TRUTHFULQA]}})
    made.path("config/site.yaml").write_text(f"environments: {{evaluate: {ENVIRONMENT}}}\n")
    made.make(LM, "models/micro-lora")
    return made


@pytest.fixture(scope="module")
def several(project: Project, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What one job (`alone`), three and seven make of the suite, one that asks less, and one that asks an adapter; what
    two programs are worth, if there is a sandbox, and whether they are asked for without; what a template gets hold of.
    """
    out = tmp_path_factory.mktemp("jobs")
    environment = clean_environment() | {
        "PYTHONPATH": str(PACKAGE), "HF_HUB_OFFLINE": "1", "HF_HOME": str(out / "home"), "TQDM_DISABLE": "1",
    }  # fmt: skip
    run = subprocess.run(
        [ENVIRONMENT / "bin/python", "-c", JOBS, project.plan(), LM, LORA, out],
        cwd=project.root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.split("SAID ")[1])


def test_any_number_of_shards_makes_the_same(project, several):
    alone = several["alone"]
    assert alone == several["three"] == several["seven"]
    points = pd.read_parquet(project.path(LM) / "points.parquet").to_numpy().tolist()
    assert points == alone["points"]


def test_figures_are_of_the_samples_and_what_is_no_mean_has_no_interval(project):
    said = json.loads((project.path(LM) / "figures.json").read_text())
    samples = pd.read_parquet(project.path(LM) / "samples.parquet")
    figures, count = said["figures"], len(WORDS) - 3
    assert list(figures) == ["choose/acc", "choose/acc_norm", "echo/exact_match", "surprise/bits_per_byte"]
    assert said["counts"] == {"documents": 3 * count}
    for name, column in (("echo/exact_match", "exact_match"), ("choose/acc", "acc"), ("choose/acc_norm", "acc_norm")):
        task = samples[samples.task == name.partition("/")[0]]
        assert figures[name]["value"] == pytest.approx(task[column].mean())
    assert figures["choose/acc"].keys() == {"value", "low", "high"}
    assert figures["surprise/bits_per_byte"].keys() == {"value"}
    assert said["warnings"] == ["surprise/bits_per_byte is no mean of documents: it is lm-eval's, and has no interval"]


def test_the_model_is_asked_in_its_own_template_after_as_many_examples_as_the_task_says(project):
    samples = pd.read_parquet(project.path(LM) / "samples.parquet")
    for row in samples[samples.task == "echo"].itertuples():
        example, question = row.prompt.split("</s>")
        word, answer = example.removeprefix("<|user|>").split("<|assistant|>")
        assert answer == f"{word} {WORDS[WORDS.index(word) + 3]}"
        assert question == f"<|user|>{WORDS[row.document]}<|assistant|>"


def test_what_a_recipe_says_is_done(several):
    few = several["few"]
    assert few["counts"] == {"documents": 6}
    echo = [row for row in few["samples"] if row["task"] == "echo"]
    assert all(len(row["answers"][0]) <= 1 for row in echo), "a token is a byte"
    assert all("assistant" not in row["prompt"] for row in few["samples"])


def test_a_task_that_says_nothing_of_examples_hears_the_suite(several):
    said = several["more"]["about"]["tasks"]
    assert {name: task["num_fewshot"] for name, task in said.items()} == {"echo": 2, "choose": 2, "surprise": 0}


def test_what_a_folder_wants_of_answers_is_not_done(several):
    assert several["odd"]["samples"] == several["alone"]["samples"]


def test_a_question_that_is_cut_is_counted(several):
    assert several["alone"]["counts"].keys() == {"documents"}
    assert several["cut"]["counts"] == {"documents": 6, "cut": 2}
    assert "2 of 6 documents are longer than the model reads, and were cut in front" in several["cut"]["warnings"]


def test_answers_that_leave_no_place_for_a_question_are_refused(several):
    assert several["refused"].startswith("echo lets an answer have 64 tokens, and ")
    assert several["refused"].endswith("say max_new_tokens, less than that, in the suite")


def test_a_template_of_a_column_that_no_row_has_is_refused(several):
    why = "a template of choose, echo, surprise cannot be filled in from its rows: 'wrod' is undefined"
    assert several["odd_column"] == f"config/tasks: {why}"


def test_a_group_is_asked_whole_and_each_document_is_a_unit_of_it(several):
    said = several["known"]
    units = {unit for figure, unit, *_ in said["points"] if figure == "bbh/exact_match/get-answer"}
    assert len(units) == 28, "27 parts, and one has two"
    assert said["counts"] == {"documents": 87, "cut": 86}


def test_tasks_of_lm_eval_read_rows_as_the_hub_has_them(several):
    figures = {figure for figure, *_ in several["known"]["points"]}
    assert {"hellaswag/acc", "hellaswag/acc_norm", "truthfulqa_mc2/acc", "mmlu/acc", "mmlu_stem/acc"} < figures
    groups = 1 + 5  # BIG-Bench Hard, of 27 parts, and MMLU with its four, of 57
    assert len(several["known"]["about"]["tasks"]) == 27 + 57 + groups + 2


def test_an_adapter_is_asked_beside_its_base(several):
    alone, adapter = several["alone"], several["adapter"]
    assert adapter["counts"] == alone["counts"]
    assert adapter["samples"] != alone["samples"]


def test_a_template_of_a_task_reaches_nothing_of_python(several):
    assert several["reached"] == ""


def test_a_template_of_a_task_has_lm_evals_filters(several):
    assert several["same"]


def test_a_program_is_worth_what_its_tests_say_of_it(several):
    if not several["worth"]:
        pytest.skip("needs a sandbox")
    assert several["worth"][0] == {"pass@1": 0.5, "pass@2": 1}


def test_programs_are_asked_for_where_none_could_be_run(several):
    assert several["asked"]


def test_versions_are_written_down_beside_the_figures_and_in_the_run_record(project):
    said = json.loads((project.path(LM) / "tasks.json").read_text())
    assert said == {
        "lm_eval": "0.4.13",
        "tasks": {
            "echo": {"version": 1, "num_fewshot": 1},
            "choose": {"version": 2, "num_fewshot": 0},
            "surprise": {"version": 1, "num_fewshot": 0},
        },
    }
    assert json.loads(project.path(f"{LM}.run.json").read_text())["versions"]["lm-eval"] == "0.4.13"
