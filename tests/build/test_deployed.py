"""Completions in an environment that Snakemake makes or opens: real jobs, under stand-ins for conda and apptainer,
which are not to be had everywhere, and for vLLM.
"""

import os
from pathlib import Path

import pytest

import apart
from conftest import SFT, Project
from posttrain.files import read_json

TRIES, SHARD = "completions/tries", "shards/tries.1of1"
ASKED = """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {engine: vllm, n: 2, max_new_tokens: 12, seed: 1}
    runtime: {gpus: 1}
"""
CONDA = """\
case "$*" in
  "info --json") echo '{"conda_prefix": "HERE/base", "platform": "linux-64"}' ;;
  --version) echo conda 25.1.0 ;;
  "clean -y --tarballs") ;;
  "config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}' ;;
  "env create --quiet --no-default-packages --file "*) cp "$6" HERE/asked.yaml; ln -s HERE/vllm "$8" ;;
  *) exit 1 ;;
esac
"""
# Of the host's environment a container sees all but PATH, which is its own.
APPTAINER = """\
if [ "$1" = --version ]; then echo apptainer version 1.4.0; exit; fi
echo "$*" >> HERE/opened
while [ "$1" != HERE/vllm.sif ]; do shift; done
export PATH="$1/bin:HERE/bin:/usr/bin:/bin" APPTAINER_CONTAINER="$1"
shift
exec "$@"
"""


@pytest.fixture
def asked(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The micro-chain, completions of vLLM's to sample, and a machine of one GPU, conda, apptainer, and their vLLM."""
    built.add(ASKED)
    built.path("envs/sample.lock").write_text("vllm==0.33.0\n")
    apart.make(tmp_path / "vllm", "sample", "0.33.0")
    (tmp_path / "bin").mkdir()
    for name, script in {"conda": CONDA, "apptainer": APPTAINER, "nvidia-smi": "echo 0\n"}.items():
        (tmp_path / "bin" / name).write_text("#!/bin/bash\n" + script.replace("HERE", str(tmp_path)))
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "base/bin").mkdir(parents=True)
    (tmp_path / "base/bin/activate").write_text('export PATH="$1/bin:$PATH"\n')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return built


def assert_sampled(project: Project, trained: list[str]) -> None:
    """That the jobs of completions ran where vLLM is, and those of models did not."""
    assert trained == []
    for path in (SHARD, TRIES):
        assert apart.versions(project.path(f"{path}.run.json"))["vllm"] == "0.33.0"
    assert "vllm" not in apart.versions(project.path(f"{SFT}.run.json"))
    assert read_json(project.path(f"{SHARD}.run.json"))["metrics"]["completions"] == 64


def test_conda_makes_the_environment_of_what_it_is_needed_for_and_no_other(asked, tmp_path):
    output, trained = asked.make(TRIES, "--sdm", "conda", "--resources", "gpu=1")
    assert_sampled(asked, trained)
    assert (tmp_path / "asked.yaml").read_text() == asked.path("envs/sample.yaml").read_text()
    assert "make vllm" not in output


def test_apptainer_opens_the_image_that_the_site_names(asked, tmp_path):
    (tmp_path / "vllm").rename(tmp_path / "vllm.sif")
    site = f"environments: {{sample: {tmp_path}/vllm.sif}}\nmodules: [cuda]\n"  # which no image has
    asked.path("config/site.yaml").write_text(site)
    assert_sampled(asked, asked.make(TRIES, "--sdm", "apptainer", "--resources", "gpu=1")[1])
    assert all(f"posttrain.build {path}" in (tmp_path / "opened").read_text() for path in (SHARD, TRIES))


def test_a_venv_that_the_site_names_needs_neither(asked, tmp_path):
    asked.path("config/site.yaml").write_text(f"environments: {{sample: {tmp_path}/vllm}}\n")
    assert_sampled(asked, asked.make(TRIES, "--resources", "gpu=1")[1])
