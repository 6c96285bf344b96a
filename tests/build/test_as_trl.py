"""Training on ready tokens is training as TRL does it: weights equal to the bit, packed conversations kept apart."""

import pytest
import torch
import trl
from datasets import Dataset, concatenate_datasets
from stages import STILL, Stage, difference, uneven
from transformers import Trainer

from posttrain.build.job import Job
from posttrain.train import arguments, models
from posttrain.train.trainers.batches import WholeBatches

pytest_plugins = ["stage_fixtures"]

FEW_STEPS = {"batch_size": 8, "max_steps": 4, "learning_rate": 1e-3}


class SFTAsPublished(WholeBatches, trl.SFTTrainer):
    """TRL's own, which prepares the rows itself, in our order of rows."""


class DPOAsPublished(WholeBatches, trl.DPOTrainer):
    """The same for pairs."""


def as_published(kind: type, job: Job, rows: list[dict], **parts: object) -> Trainer:
    """The trainer as a script of TRL makes it, of rows."""
    tokenizer = models.open_tokenizer(job)
    args = getattr(arguments, job.recipe["method"])(job)
    args.dataset_kwargs = None
    model = models.open_base(job, tokenizer)
    return kind(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, **parts)


def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    trainer.train()
    return trainer.model.state_dict()


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("packing", [{}, {"packing": True}, {"packing": True, "packing_strategy": "wrapped"}], ids=str)
def test_sft_on_ready_tokens_ends_with_the_weights_of_trl(sft: Stage, packing: dict) -> None:
    rows = uneven("sft", 128)
    sft.tokenise(rows, **({"packing_strategy": packing.get("packing_strategy", "bfd")} if packing else {}))
    ours = sft.train(sft.job(4, **FEW_STEPS, **packing))
    theirs = trained(as_published(SFTAsPublished, sft.job(4, **FEW_STEPS, **packing), rows))
    assert equal(ours, theirs)
    assert not equal(ours, sft.base())


def test_sft_on_last_answers_ends_with_the_weights_of_trl(sft: Stage) -> None:
    rows = uneven("sft")
    sft.tokenise(rows, completion_only_loss=True)
    ours = sft.train(sft.job(4, **FEW_STEPS, completion_only_loss=True))
    parts = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows]
    assert equal(ours, trained(as_published(SFTAsPublished, sft.job(4, **FEW_STEPS), parts)))


def test_dpo_on_ready_tokens_ends_with_the_weights_of_trl(dpo: Stage) -> None:
    """To the bit beside the same reference, and to rounding where TRL asks one of its own, batch by batch."""
    rows, few = uneven("dpo"), FEW_STEPS | {"loss_type": "sigmoid"}
    dpo.tokenise(rows)
    ours, job = dpo.train(dpo.job(4, **few)), dpo.job(4, **few)
    ready = Dataset.from_file(str(dpo.inputs["reference"] / "train.arrow"))

    class Referred(DPOAsPublished):
        def _precompute_ref_logps(self, tokens: Dataset, *_: object) -> Dataset:
            return concatenate_datasets([tokens, ready], axis=1)

    assert equal(ours, trained(as_published(Referred, job, rows)))
    theirs = trained(as_published(DPOAsPublished, dpo.job(4, **few), rows))
    assert difference(ours, theirs, dpo.base()) < STILL


def test_conversations_packed_by_bfd_do_not_see_each_other(dpo: Stage) -> None:
    """The loss of packed rows is that of the same conversations, each in a row of its own."""
    sft, losses = dpo.of("sft"), {}  # of a model that has learnt to look back
    for packing in ({}, {"packing_strategy": "bfd"}):
        sft.tokenise(uneven("sft"), max_length=64, **packing)
        trainer = sft.trainer(sft.job(8, packing=bool(packing), **packing))
        batch = trainer.data_collator(list(trainer.train_dataset))
        with trainer.at_rest(trainer.model):
            losses[bool(packing)] = trainer.loss_at_rest(trainer.model, batch)
            if packing:
                apart = {"position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx"}
                joined = {name: value for name, value in batch.items() if name not in apart}
                losses["joined"] = trainer.loss_at_rest(trainer.model, joined)
    assert losses[True] == pytest.approx(losses[False], rel=1e-6)
    assert losses["joined"] != pytest.approx(losses[False], rel=1e-4)
