"""Law 1 on TRL's real trainers: the batch is the batch, however it is spread over micro-batches (test_launch.py: over
processes)."""

import pytest
import trl
from stages import STILL, Stage, difference, uneven

from posttrain.train.trainers import KTOTrainer, ORPOTrainer
from posttrain.train.trainers.batches import WholeBatches
from posttrain.train.trainers.preference import Referred
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


class AsPublished(Watched, Referred, trl.DPOTrainer):
    """TRL's own, given ready tokens."""


def test_trl_itself_weighs_a_row_by_its_neighbours(dpo: Stage) -> None:
    """The reason for our DPOTrainer, and the proof that the test above can fail."""
    assert spread(dpo, "dpo", AsPublished, loss_type=["sigmoid", "sft"]) > 100 * STILL


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_packed_rows_are_learnt_in_batches_and_not_in_micro_batches(sft: Stage, strategy: str) -> None:
    sft.tokenise(uneven("sft", 128), packing_strategy=strategy)
    packed = {"packing": True, "packing_strategy": strategy}
    whole, parts = (sft.train(sft.job(micro, **TWENTY_STEPS, **packed)) for micro in (16, 8))
    assert difference(whole, parts, sft.base()) < STILL


@pytest.mark.parametrize("method", ["reward", "orpo", "cpo", "simpo"])
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


class KTOAsPublished(KTOTrainer):
    """Rows in an order of chance."""

    sampler = WholeBatches.sampler


def uneven_micro_batches(stage: Stage, kind: type) -> tuple[set[int], set[int]]:
    """How many wanted answers are in micro-batches of eight, of rows of which a quarter are; in two epochs."""
    loader = stage.trainer(stage.job(8, batch_size=16), kind).get_train_dataloader()
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        epochs.append(list(loader))
    assert [len(batches) for batches in epochs] == [8, 8]
    first, second = (batches[0]["input_ids"].tolist() for batches in epochs)
    assert first != second, "each epoch has an order of its own"
    return tuple({int(batch["label"].sum()) for batch in batches} for batches in epochs)


def test_kto_hears_both_kinds_in_every_micro_batch(dpo: Stage) -> None:
    rows = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": i % 4 == 0}
        for i, row in enumerate(uneven("dpo", 64))
    ]
    dpo.of("kto").tokenise(rows)
    assert all(counts <= {1, 2, 3} for counts in uneven_micro_batches(dpo, KTOTrainer))
    assert not all(counts <= {1, 2, 3} for counts in uneven_micro_batches(dpo, KTOAsPublished))
