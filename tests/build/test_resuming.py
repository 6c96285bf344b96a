"""A training that is gone on with ends as if it had never stopped."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kills import first_step
from stages import STILL, TRAINERS, Stage, difference, of_weights, uneven, with_dropout

from posttrain.build import status
from posttrain.files import write_json
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


def written(folder: Path) -> Path:
    """A checkpoint as it stands on the disk, whole."""
    folder.mkdir()
    (folder / "optimizer.pt").write_bytes(b"moments")
    (folder / "trainer_state.json").write_text("{}")
    write_json(folder / run.COMPLETE, {"sizes": run.file_sizes(folder)})
    return folder


HALVES = {
    "no last file": lambda half: (half / run.COMPLETE).unlink(),
    "half of a file and no last one": lambda half: (
        (half / run.COMPLETE).unlink(),
        os.truncate(half / "optimizer.pt", 3),
    ),
    "half of a file": lambda half: os.truncate(half / "optimizer.pt", 3),
    "a file too few": lambda half: (half / "optimizer.pt").unlink(),
    "half of the last file": lambda half: os.truncate(half / run.COMPLETE, 9),
}


@pytest.mark.parametrize("cut", HALVES.values(), ids=HALVES)
def test_a_half_written_checkpoint_is_removed_and_the_one_before_is_gone_on_from(
    cut: Callable[[Path], object], tmp_path: Path
) -> None:
    before, half = written(tmp_path / "checkpoint-9"), written(tmp_path / "checkpoint-10")
    assert run.newest(tmp_path) == str(half)
    cut(half)
    assert run.newest(tmp_path) == str(before)
    assert not half.exists() and before.exists()


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
