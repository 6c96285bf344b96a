"""The micro-chain in bfloat16 on one GPU: losses stay numbers, gates hold, and a stop costs nothing."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from conftest import DPO, SFT, Project

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def on_gpu(fresh: Project) -> Project:
    """A checkout whose models are trained on one GPU, in bfloat16."""
    fresh.edit("bf16: false", "bf16: true")
    fresh.edit("runtime: {save_steps: 1, logging_steps: 1}", "runtime: {gpus: 1, save_steps: 50, logging_steps: 1}")
    return fresh


def losses(project: Project, target: str) -> list[float]:
    record = json.loads(project.path(f"{target}.run.json").read_text())
    assert record["launch"]["gpus"] == 1
    return [line["loss"] for line in record["metrics"]["history"] if "loss" in line]


def test_both_stages_train_in_bfloat16_through_their_gate(on_gpu: Project) -> None:
    assert on_gpu.make(DPO, "--resources", "gpu=1")[1] == ["models/micro-init", SFT, DPO]
    for target in (SFT, DPO):
        found = losses(on_gpu, target)
        assert len(found) == 4 and all(map(math.isfinite, found))


def test_a_stopped_run_goes_on_to_the_same_model(on_gpu: Project) -> None:
    on_gpu.edit("batch_size: 8, num_train_epochs: 1", "batch_size: 8, max_steps: 400")
    on_gpu.make("models/micro-init")
    process = on_gpu.start(SFT)
    on_gpu.wait(lambda: on_gpu.status(SFT).get("step", 0) > 1, 600)
    (work,) = on_gpu.path("work/models").glob("micro-sft.*")
    (work / "stop").touch()
    process.communicate(timeout=600)
    assert on_gpu.status(SFT)["state"] == "resume" and on_gpu.status(SFT)["step"] < 400
    on_gpu.make(SFT)
    assert json.loads(on_gpu.path(f"{SFT}.run.json").read_text())["resumes"] == 1
    stopped = load_file(on_gpu.path(f"{SFT}/model.safetensors"))

    entry = on_gpu.path(SFT).resolve().parent
    entry.chmod(0o755)
    entry.rename(on_gpu.path("stopped"))
    for name in (SFT, f"{SFT}.json", f"{SFT}.run.json"):
        on_gpu.path(name).unlink()
    on_gpu.make(SFT)
    assert json.loads(on_gpu.path(f"{SFT}.run.json").read_text())["resumes"] == 0
    whole = load_file(on_gpu.path(f"{SFT}/model.safetensors"))
    # Sums of a GPU's backward pass come in no fixed order: equal to rounding, not to the bit.
    assert all(torch.allclose(whole[name], stopped[name], rtol=1e-3, atol=1e-4) for name in whole)
