"""Figures on the rows' test split while a model is trained: taken when asked for, and no byte of the model for it."""

from pathlib import Path

import pytest
import torch
from stages import STILL, TRAINERS, Stage, difference, uneven, weights, with_dropout

from conftest import DPO, PAGE, Project
from posttrain.files import read_json
from posttrain.train import run
from posttrain.train.trainers import DPOTrainer, ORPOTrainer

pytest_plugins = ["stage_fixtures"]

HELD_OUT = 10  # rows; two micro-batches of 4, and one that is not full
# What each trainer says of them beside the loss.
SAID = {
    "cpt": "eval_mean_token_accuracy",
    "sft": "eval_mean_token_accuracy",
    "reward": "eval_accuracy",
    "dpo": "eval_rewards/accuracies",
    "kto": "eval_rewards/margins",
    **dict.fromkeys(("orpo", "cpo", "simpo"), "eval_rewards/accuracies"),
}
TRAIN = {"max_steps": 3, "learning_rate": 1e-2}


def evaluated(method: str, sft: Stage, dpo: Stage) -> Stage:
    stage = {"cpt": sft, "sft": sft}.get(method, dpo).of(method)
    length = 8 if method == "cpt" else 48
    stage.tokenise(uneven(method, 40), length, test=uneven(method, 50)[40:])
    return stage


@pytest.mark.parametrize("method", TRAINERS)
def test_a_model_is_the_same_to_the_byte_whether_it_was_evaluated_or_not(method: str, sft: Stage, dpo: Stage) -> None:
    stage = evaluated(method, sft, dpo)
    dry = stage.train(stage.job(4, **TRAIN))
    with_dropout(stage)
    without, often = stage.job(4, **TRAIN), stage.job(4, **TRAIN, runtime={"eval_steps": 1})
    weights = stage.train(without)
    assert difference(dry, weights, stage.base()) > 100 * STILL, "nothing was left out"
    again = stage.train(often)
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())
    found = [line for line in often.metrics["history"] if "eval_loss" in line]
    assert [line["step"] for line in found] == [1, 2, 3]
    assert len({line["eval_loss"] for line in found}) == 3 and all(SAID[method] in line for line in found)
    assert not any("eval_loss" in line for line in without.metrics["history"])


def test_what_dropout_draws_would_hang_on_an_evaluation_that_left_a_trace(sft: Stage) -> None:
    """The proof that the test above can fail: a loader's first batch draws a seed from where dropout does."""
    trainer = evaluated("sft", sft, sft).trainer(sft.job(4, runtime={"eval_steps": 1}))
    before = torch.get_rng_state()
    next(iter(trainer.get_eval_dataloader()))
    assert not torch.equal(before, torch.get_rng_state())
    before = torch.get_rng_state()
    trainer.gated = True  # only a first step is
    trainer.evaluate()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [DPOTrainer, ORPOTrainer])
def test_a_mean_over_tokens_is_a_plain_one_of_what_is_held_out(kind: type, dpo: Stage) -> None:
    """Also right after a step, of whose batch the tokens were counted."""

    class Plain(kind):
        """As TRL takes the mean."""

        def share(self, batch: dict) -> float:
            return 1.0

    stage = evaluated("dpo" if kind is DPOTrainer else "orpo", dpo, dpo)
    job = stage.job(4, **TRAIN, runtime={"eval_steps": 3})  # a part of both losses is a mean over tokens
    trainer = stage.trainer(job)
    run.train(trainer, job)
    plain = stage.trainer(job, kind=Plain)
    plain.gated = True  # only a first step is
    plain.model.load_state_dict(trainer.model.state_dict())
    found = [line["eval_loss"] for line in job.metrics["history"] if "eval_loss" in line]
    assert found == [pytest.approx(plain.evaluate()["eval_loss"], rel=1e-6)]


def test_how_often_is_for_the_runtime_to_say_and_not_for_a_checkpoint(sft: Stage) -> None:
    stage = evaluated("sft", sft, sft)
    job = stage.job(4, **TRAIN)
    (job.work / "stop").touch()
    with pytest.raises(SystemExit):
        stage.train(job)
    (job.work / "stop").unlink()
    job.runtime["eval_steps"] = 2
    stage.train(job)
    assert [line["step"] for line in job.metrics["history"] if "eval_loss" in line] == [2, 3]


def test_who_asks_for_a_stop_does_not_wait_for_figures(dpo: Stage) -> None:
    stage = evaluated("dpo", dpo, dpo)

    class Listening(DPOTrainer):
        def evaluate(self, *args: object, **options: object) -> dict:
            raise AssertionError("figures were taken")

    job = stage.job(4, **TRAIN, runtime={"eval_steps": 1})
    (job.work / "stop").touch()
    with pytest.raises(SystemExit):
        stage.train(job, kind=Listening)
    assert (job.checkpoints / "checkpoint-1" / run.COMPLETE).exists()


def test_an_edited_test_row_trains_nothing(built: Project) -> None:
    """What is held out is made anew, its reference too, and what is learnt from is not, nor is what learns."""
    pairs = "      - {path: pairs.jsonl}\n"
    built.edit(pairs, f"{pairs}    test: [{{path: held-pairs.jsonl}}]\n")
    assert built.make(DPO)[1] == []
    built.edit("held-pairs.jsonl}]", "held-pairs.jsonl, rows: 6}]")
    assert built.make(DPO)[1] == []
    tokens = built.targets()[DPO]["inputs"]["tokens"]
    assert read_json(built.path(f"{tokens}/ledger.json"))["entries"][1]["kept"] == 6
    before, dpo = built.path(PAGE).read_text().split("  micro-dpo:")
    dpo = dpo.replace("beta: 0.1", "beta: 0.2").replace("save_steps: 1", "save_steps: 1, eval_steps: 4")
    built.path(PAGE).write_text(f"{before}  micro-dpo:{dpo}")
    assert built.make(DPO)[1] == [DPO]


def test_the_loss_is_of_all_processes(built: Project, tmp_path: Path) -> None:
    """Of pairs that a build holds out, each weighing the same, as one process finds it for the model that was made."""
    pairs = "      - {path: pairs.jsonl}\n"
    built.edit(pairs, f"{pairs}    test: [{{path: held-pairs.jsonl}}]\n")
    start, train = built.path(PAGE).read_text().split("    base: micro-sft\n")
    train = train.replace("[sigmoid, sft]", "sigmoid")
    train = train.replace("save_steps: 1", "save_steps: 4, eval_steps: 4, processes: 2, launch: ddp")
    built.path(PAGE).write_text(f"{start}    base: micro-sft\n{train}")
    built.make(DPO)
    (found,) = [line for line in built.manifest(f"{DPO}.run")["metrics"]["history"] if "eval_loss" in line]
    stage = Stage(built, DPO, tmp_path)
    alone = stage.trainer(stage.job(8, runtime={"processes": 1, "launch": "single"}))
    alone.gated = True  # only a first step is
    alone.model.load_state_dict(weights(built, DPO), strict=False)  # a tied head has no weights of its own
    said = alone.evaluate()
    for name in ("eval_loss", "eval_rewards/margins"):
        assert found[name] == pytest.approx(said[name], rel=1e-5)
