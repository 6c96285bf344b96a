"""A training that is gone on with ends as if it had never stopped."""

import os
import shutil

import pytest
import torch
from kills import first_step
from stages import STILL, TRAINERS, Stage, difference, of_weights, uneven, with_dropout

from posttrain.build import status
from posttrain.train import run

pytest_plugins = ["stage_fixtures"]


def test_two_steps_and_two_more_are_four_bit_for_bit(sft: Stage) -> None:
    train = {"max_steps": 4, "runtime": {"save_steps": 2}}
    through, stopped = sft.job(**train), sft.job(**train)
    weights = sft.train(through)
    shutil.copytree(through.checkpoints / "checkpoint-2", stopped.checkpoints / "checkpoint-2")
    torn = stopped.checkpoints / "checkpoint-3"  # a later one, that a kill has cut short
    shutil.copytree(through.checkpoints / "checkpoint-4", torn)
    with open(torn / "optimizer.pt", "r+b") as file:
        file.truncate(100)
    assert run.newest(stopped.checkpoints) == str(stopped.checkpoints / "checkpoint-2")
    assert not torn.exists()
    again = sft.train(stopped)
    assert [line["step"] for line in stopped.metrics["history"] if "loss" in line][-1] == 4
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())


def test_a_checkpoint_without_its_last_file_is_no_checkpoint(sft: Stage) -> None:
    job = sft.job(max_steps=1, runtime={"save_steps": 1})
    sft.train(job)
    whole = job.checkpoints / "checkpoint-1"
    assert run.newest(job.checkpoints) == str(whole)
    (whole / run.COMPLETE).unlink()
    assert run.newest(job.checkpoints) is None


TWO_STEPS = {"max_steps": 2, "learning_rate": 1e-2, "runtime": {"save_steps": 1}}


def gone_on_with(stage: Stage) -> dict[str, torch.Tensor]:
    """The weights after two steps, which must be those after one, a stop, and one."""
    through, stopped = stage.job(4, **TWO_STEPS), stage.job(4, **TWO_STEPS)
    weights = stage.train(through)
    shutil.copytree(through.checkpoints / "checkpoint-1", stopped.checkpoints / "checkpoint-1")
    again = stage.train(stopped)
    assert first_step(stopped.metrics) == 1
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())
    return weights


@pytest.mark.parametrize("method", TRAINERS)
def test_with_dropout_too(method: str, sft: Stage, dpo: Stage) -> None:
    """What is left out is drawn again as it would have been."""
    stage = {"cpt": sft, "sft": sft}.get(method, dpo).of(method)
    stage.tokenise(uneven(method), max_length=16 if method == "cpt" else 48)
    base, dry = stage.base(), stage.train(stage.job(4, **TWO_STEPS))
    with_dropout(stage)
    assert difference(dry, gone_on_with(stage), base) > 100 * STILL, "nothing was left out"


@pytest.mark.parametrize(
    ("method", "weights"), [("sft", "qlora"), ("reward", "lora"), ("kto", "lora-bf16"), ("cpo", "lora-bfloat16")]
)
def test_adapters_with_dropout_too(method: str, weights: str, sft: Stage, dpo: Stage) -> None:
    stage = of_weights({"sft": sft}.get(method, dpo).of(method), weights)
    stage.tokenise(uneven(method))
    dry = stage.train(stage.job(4, **TWO_STEPS))
    with_dropout(stage)
    stage.target["own"]["peft"]["lora_dropout"] = 0.3
    wet = gone_on_with(stage)
    assert any(not torch.equal(tensor, wet[name]) for name, tensor in dry.items()), "nothing was left out"


@pytest.mark.parametrize("method", ["dpo", "reward", "orpo"])
def test_a_stop_between_steps_saves_and_goes_on_to_the_same_weights(dpo: Stage, method: str) -> None:
    dpo.of(method).tokenise(uneven("dpo", 32))
    through, stopped = dpo.job(), dpo.job()
    weights = dpo.train(through)
    (stopped.work / "stop").touch()
    with pytest.raises(SystemExit) as stop:
        dpo.train(stopped)
    assert stop.value.code == os.EX_TEMPFAIL
    assert status.read(stopped.work)["state"] == "resume" and status.read(stopped.work)["step"] == 1
    (stopped.work / "stop").unlink()
    again = dpo.train(stopped)
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_stop_is_gone_on_from_with_smaller_micro_batches(method: str, sft: Stage, dpo: Stage) -> None:
    """Who ran out of memory keeps what was trained: the rows to skip are counted in whole batches."""
    stage = {"sft": sft, "dpo": dpo}[method]
    stage.tokenise(uneven(method))
    train = {"batch_size": 8, "max_steps": 20, "learning_rate": 1e-3, "runtime": {"save_steps": 10}}
    through, smaller = stage.job(8, **train), stage.job(4, **train)
    weights = stage.train(through)
    shutil.copytree(through.checkpoints / "checkpoint-10", smaller.checkpoints / "checkpoint-10")
    again = stage.train(smaller)
    assert first_step(smaller.metrics) == 10
    assert difference(weights, again, stage.base()) < STILL
