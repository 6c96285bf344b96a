"""Law 1 on TRL's real trainers: the batch is the batch, however it is spread over micro-batches and processes."""

import importlib.util
import json
import shutil

import pytest
import trl
from stages import STILL, Stage, difference, uneven, weights

from conftest import DPO, SFT, Project
from posttrain.train.trainers import ORPOTrainer
from posttrain.train.trainers.watched import Watched

pytest_plugins = ["stage_fixtures"]


TWENTY_STEPS = {"batch_size": 16, "max_steps": 20, "learning_rate": 1e-3}


def spread(stage: Stage, method: str, kind: type | None = None, **train: object) -> float:
    """How much it changes to see 16 rows as 2 × 8, in the update of twenty steps."""
    stage.tokenise(uneven(method))
    whole = stage.train(stage.job(16, **TWENTY_STEPS, **train), kind=kind)
    parts = stage.train(stage.job(8, **TWENTY_STEPS, **train), kind=kind)
    return difference(whole, parts, stage.base())


def test_sft_sees_the_batch_and_not_the_micro_batch(sft: Stage) -> None:
    assert spread(sft, "sft") < STILL


@pytest.mark.parametrize("loss", [["sigmoid"], ["sigmoid", "sft"]], ids="+".join)
def test_dpo_sees_the_batch_and_not_the_micro_batch(dpo: Stage, loss: list[str]) -> None:
    assert spread(dpo, "dpo", loss_type=loss) < STILL


class AsPublished(Watched, trl.DPOTrainer):
    """TRL's own, given ready tokens."""

    def _prepare_dataset(self, dataset: object, *_: object) -> object:
        return dataset


def test_trl_itself_weighs_a_row_by_its_neighbours(dpo: Stage) -> None:
    """The reason for our DPOTrainer, and the proof that the test above can fail."""
    assert spread(dpo, "dpo", AsPublished, loss_type=["sigmoid", "sft"]) > 100 * STILL


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_packed_rows_are_learnt_in_batches_and_not_in_micro_batches(sft: Stage, strategy: str) -> None:
    sft.tokenise(uneven("sft", 128), packing_strategy=strategy)
    packed = {"packing": True, "packing_strategy": strategy}
    whole, parts = (sft.train(sft.job(micro, **TWENTY_STEPS, **packed)) for micro in (16, 8))
    assert difference(whole, parts, sft.base()) < STILL


@pytest.mark.parametrize("method", ["reward", "orpo"])
def test_pairs_are_learnt_in_batches_and_not_in_micro_batches(dpo: Stage, method: str) -> None:
    assert spread(dpo.of(method), "dpo") < STILL


class ORPOAsPublished(ORPOTrainer):
    """TRL's own loss, given ready tokens."""

    def share(self, batch: dict) -> float:
        return 1.0


def test_trls_orpo_weighs_a_row_by_its_neighbours(dpo: Stage) -> None:
    """The reason for our ORPOTrainer."""
    assert spread(dpo.of("orpo"), "dpo", ORPOAsPublished) > 100 * STILL


def test_a_last_batch_that_rows_do_not_fill_is_left_out_alike(sft: Stage) -> None:
    sft.tokenise(uneven("sft", 40))  # two batches of sixteen, and eight rows over
    train = {"batch_size": 16, "max_steps": None, "num_train_epochs": 3, "learning_rate": 1e-3}
    whole, parts = sft.job(16, **train), sft.job(4, **train)
    weights = sft.train(whole), sft.train(parts)
    assert [job.metrics["history"][-1]["step"] for job in (whole, parts)] == [6, 6]
    assert difference(*weights, sft.base()) < STILL


def test_rows_left_out_of_one_epoch_are_seen_in_another(sft: Stage) -> None:
    sft.tokenise(uneven("sft", 40))
    trainer = sft.trainer(sft.job(16, batch_size=16, num_train_epochs=4))
    loader, seen = trainer.get_train_dataloader(), []
    for epoch in range(4):
        loader.set_epoch(epoch)
        seen.append({tuple(ids[ids != 0].tolist()) for batch in loader for ids in batch["input_ids"]})
    assert all(len(epoch) == 32 for epoch in seen)
    assert len(set.union(*seen)) == 40


# Two processes, through the build


RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
BASES = {SFT: "models/micro-init", DPO: SFT}
# `python -m venv`, then `pip install -e '.[gpu]'` without bitsandbytes and flash-attn: it needs no GPU.
deepspeed = pytest.mark.skipif(
    not (importlib.util.find_spec("deepspeed") and shutil.which("g++")),
    reason="ZeRO-3 needs deepspeed, and g++ for its communication",
)


@pytest.mark.parametrize("launch", ["ddp", pytest.param("zero3", marks=deepspeed)])
@pytest.mark.parametrize("target", [SFT, DPO], ids=["sft", "sigmoid+sft"])
def test_two_processes_make_the_model_that_one_makes(built: Project, target: str, launch: str) -> None:
    one, base = weights(built, target), weights(built, BASES[target])
    built.forget(target)
    built.edit(RUNTIME, f"runtime: {{processes: 2, launch: {launch}, save_steps: 1}}")
    assert built.make(target)[1] == [target]
    said = built.path(f"{target}.run.json").read_text()
    assert [json.loads(said)["launch"][name] for name in ("launch", "processes", "micro_batch_size")] == [launch, 2, 4]
    assert difference(one, weights(built, target), base) < STILL


@deepspeed
def test_zero3_widens_a_base_that_no_process_holds_whole(built: Project) -> None:
    """New tokens, then SFT and DPO on them: the base is opened in shards, widened, gated, saved and proved."""
    built.edit("base: micro-init", "base: micro-init\n    template: bytes\n    added_tokens: ['<|turn|>']")
    built.edit(RUNTIME, "runtime: {processes: 2, launch: zero3, save_steps: 1}")
    assert built.make(DPO)[1] == [SFT, DPO]
    rows = {path: weights(built, path)["model.embed_tokens.weight"] for path in ("models/micro-init", SFT, DPO)}
    assert [len(table) - len(rows["models/micro-init"]) for table in rows.values()] == [0, 1, 1]


@deepspeed
def test_zero3_of_a_model_that_every_process_holds_whole_is_refused(built: Project) -> None:
    built.forget(SFT)
    built.edit(RUNTIME, "runtime: {processes: 2, launch: zero3}")
    built.edit("args=args", "args=arguments.sft(job)", "scripts/train_sft.py")
    built.edit("        args = arguments.sft(job)", "        # none", "scripts/train_sft.py")
    output, _ = built.make(SFT, rc=1)
    assert "launch zero3: every process has opened the whole model, for the trainer's arguments were made" in output


def test_a_launch_that_falls_back_to_one_process_is_refused(built: Project) -> None:
    built.forget(SFT)
    built.edit(RUNTIME, "runtime: {processes: 2, launch: ddp}")
    built.edit("MULTI_GPU", "MULTI_CPU", "config/launch/ddp.yaml")  # accelerate then runs one process, and says nothing
    output, _ = built.make(SFT, rc=1)
    assert "launch ddp was to be 2 processes, and is 1 of DistributedType" in output
    assert not built.path(f"{SFT}.json").exists()
