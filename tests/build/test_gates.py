"""Law 12 on TRL's real trainers: what the first loss must be, and that a run which starts elsewhere learns nothing."""

import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file
from stages import Stage, changed, uneven, with_dropout
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    set_seed,
)

from posttrain.build.job import Job
from posttrain.files import Refusal
from posttrain.recipes import training
from posttrain.train import gates, models, run, saving
from posttrain.train.trainers import RewardTrainer
from posttrain.train.trainers.preference import in_bf16

pytest_plugins = ["stage_fixtures"]


@pytest.mark.parametrize(
    ("loss", "train", "first"),
    [
        ("sigmoid", {}, math.log(2)),
        ("sigmoid", {"ld_alpha": 0.3}, math.log(2)),
        ("sigmoid_norm", {}, math.log(2)),
        ("ipo", {}, 25.0),
        ("ipo", {"beta": 0.5}, 1.0),
        ("hinge", {}, 1.0),
        ("exo_pair", {"label_smoothing": 0.1}, 0.5108256),
        ("nca_pair", {}, 2 * math.log(2)),
        ("robust", {"label_smoothing": 0.1}, math.log(2)),
        ("bco_pair", {}, 2 * math.log(2)),
        ("sppo_hard", {}, 50.0),
        ("aot", {}, math.log(2)),
        ("aot", {"label_smoothing": 0.1}, math.log(2)),
        ("aot_unpaired", {}, math.log(2)),
        ("apo_zero", {}, 1.0),
        ("apo_down", {}, 1.0),
        ("discopop", {}, (math.log(2) + 1) / 2),
    ],
    ids=str,
)
def test_the_first_loss_is_the_one_that_physics_knows(dpo: Stage, loss: str, train: dict, first: float) -> None:
    """On TRL's own losses, each of which is gated: all that 1.16 has but `sft`, which is no preference's."""
    if "ld_alpha" in train:
        dpo.tokenise(uneven("dpo"))
        dpo.refer(**train)
    job = dpo.job(batch_size=8, max_steps=2, loss_type=loss, **train)
    base, trained = dpo.base(), dpo.train(job)
    assert any(not torch.equal(trained[name], base[name]) for name in base)
    assert job.metrics["history"][0]["loss"] == pytest.approx(first, rel=1e-4)


def test_every_loss_of_trl_is_known_or_refused() -> None:
    assert {*gates.AT_REST, "sft"} == set(get_args(training.DPOLoss))


def test_a_list_is_gated_on_its_preference_part(dpo: Stage) -> None:
    job = dpo.job(batch_size=8, max_steps=1, loss_type=["sigmoid", "sft"], loss_weights=[2.0, 3.0])
    dpo.train(job)
    alone = dpo.job(batch_size=8, max_steps=1, loss_type=["sigmoid"])
    dpo.train(alone)
    both, preference = (j.metrics["history"][0]["loss"] for j in (job, alone))
    assert preference == pytest.approx(math.log(2), rel=1e-4)
    assert both > 2 * math.log(2) + 1  # the weighted sft term of an untaught model comes on top, ungated


@pytest.mark.parametrize("loss", [["sigmoid"], ["ipo"], ["hinge"], ["apo_zero"], ["sigmoid", "sft"]], ids="+".join)
def test_another_reference_is_stopped_before_anything_is_learnt(dpo: Stage, loss: list[str]) -> None:
    dpo.inputs["base"] = dpo.folder / noisy(dpo)  # whose reference is still the one without noise
    job = dpo.job(loss_type=loss)
    assert stopped_at_the_gate(job, dpo.trainer(job), "the first loss of")


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_kto_starts_at_half_of_each_rows_weight(dpo: Stage, loss: str) -> None:
    stage = dpo.of("kto")
    stage.tokenise(uneven("dpo"))
    train = {"loss_type": loss, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    job = stage.job(batch_size=8, max_steps=2, **train)
    stage.train(job)
    assert job.metrics["history"][0]["loss"] == pytest.approx(0.5, rel=1e-4)
    stage.inputs["base"] = stage.folder / noisy(stage)
    job = stage.job(**train)
    assert stopped_at_the_gate(job, stage.trainer(job), f"the first loss of {loss}")


def test_the_gate_holds_for_bases_in_bfloat16_and_with_dropout(dpo: Stage) -> None:
    with_dropout(dpo)
    dpo.refer(dtype="bfloat16", bf16=True)
    job = dpo.job(max_steps=2, loss_type=["sigmoid"], dtype="bfloat16", bf16=True)
    dpo.train(job)
    assert job.metrics["train"]["train_loss"] == pytest.approx(math.log(2), rel=0.1)


def noisy(stage: Stage) -> str:
    """The name of a copy of the base with other weights."""
    set_seed(0)
    return changed(stage, "noisy", lambda name, tensor: tensor + 0.05 * torch.randn_like(tensor))


def stopped_at_the_gate(job: Job, trainer: Trainer, why: str) -> bool:
    """Whether a run is refused before anything is learnt."""
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with pytest.raises(Refusal, match=f"physics gate: {why}"):
        run.train(trainer, job)
    after = trainer.model.state_dict()
    assert all(torch.equal(tensor.nan_to_num(), after[name].nan_to_num()) for name, tensor in before.items())
    return not list(job.checkpoints.glob("checkpoint-*"))


@pytest.mark.parametrize("method", ["cpt", "sft", "orpo", "cpo", "simpo"])
def test_a_base_of_another_vocabulary_is_stopped_before_anything_is_learnt(method: str, sft: Stage, dpo: Stage) -> None:
    """A base that knows its rows well, and then the same base with its tokens in other places."""
    taught = sft.job(learning_rate=1e-2, max_steps=60)
    trainer = sft.trainer(taught)
    run.train(trainer, taught)
    run.save(trainer, taught)
    stage = sft.of(method) if method in ("cpt", "sft") else dpo.of(method)
    stage.inputs["base"] = taught.out
    run.train(stage.trainer(job := stage.job(max_steps=1)), job)
    assert job.metrics["history"][0]["loss"] < math.log(262)

    def moved(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.roll(100, 0) if "embed_tokens" in name else tensor

    stage.inputs["base"] = stage.folder / changed(stage, "moved", moved)
    job = stage.job()
    assert stopped_at_the_gate(job, stage.trainer(job), "the first loss is .* a token, and guessing among 262")


@pytest.mark.parametrize("method", ["cpt", "sft", "orpo", "cpo", "simpo"])
def test_a_base_that_knows_nothing_yet_passes_the_gate(
    method: str, sft: Stage, dpo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, gate = [], gates.no_worse_than_guessing
    monkeypatch.setattr(gates, "no_worse_than_guessing", lambda loss, size: found.append(loss) or gate(loss, size))
    base, stage = sft.inputs["base"], sft.of(method) if method in ("cpt", "sft") else dpo.of(method)
    stage.inputs["base"] = base
    job = stage.job(max_steps=1, dtype="bfloat16", bf16=True)
    stage.train(job)
    assert found == [pytest.approx(math.log(262), abs=0.5)]


def test_a_new_head_prefers_neither_answer_of_a_pair(reward: Stage) -> None:
    job = reward.job(max_steps=1, center_rewards_coefficient=10.0)
    found = []

    class Listening(RewardTrainer):
        def loss_at_rest(self, model: object, inputs: dict) -> float:
            found.append(super().loss_at_rest(model, inputs))
            return found[-1]

    run.train(reward.trainer(job, kind=Listening), job)
    assert found == [pytest.approx(math.log(2), abs=0.05)]
    assert job.metrics["history"][0]["loss"] > found[0] + 1e-3  # the centre term is learnt from, and not gated


@pytest.mark.parametrize("change", [1e4, math.nan], ids=["too wide", "no number"])
def test_a_head_that_was_not_drawn_as_it_should_be_is_stopped(reward: Stage, change: float) -> None:
    job = reward.job()
    trainer = reward.trainer(job)
    trainer.model.score.weight.data *= change
    assert stopped_at_the_gate(job, trainer, "the first loss of a reward model is")


def test_a_head_is_drawn_by_the_seed_and_one_that_was_taught_is_kept(reward: Stage) -> None:
    job = reward.job(max_steps=8, learning_rate=1e-2)
    trainer = reward.trainer(job)
    torch.rand(7)  # what was drawn before does not matter
    heads = [reward.trainer(reward.job(seed=seed)).model.score.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    run.train(trainer, job)
    run.save(trainer, job)
    reward.inputs["base"] = job.out
    again = reward.job(max_steps=1)
    kept = reward.trainer(again)
    assert torch.equal(kept.model.score.weight, trainer.model.score.weight)
    run.train(kept, again)
    # It starts from what it knows, and no gate says it may not.
    assert again.metrics["history"][0]["loss"] < math.log(2) - 0.05


def test_a_reward_model_is_proved_with_its_head(reward: Stage) -> None:
    job = reward.job(max_steps=1)
    trainer = reward.trainer(job)
    run.train(trainer, job)
    run.save(trainer, job)
    path = job.out / "model.safetensors"
    weights = load_file(path)
    weights["score.weight"][0, 0] += 1
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(Refusal, match="score.weight differs"):
        saving.prove(trainer.model, job.out, sharded=False)


def test_a_head_is_one_score_and_no_base_of_what_speaks(reward: Stage) -> None:
    tokenizer = AutoTokenizer.from_pretrained(reward.inputs["tokenizer"])
    config = AutoConfig.from_pretrained(reward.inputs["base"])
    config.num_labels = 3
    AutoModelForSequenceClassification.from_config(config).save_pretrained(reward.folder / "three")
    reward.inputs["base"] = reward.folder / "three"
    with pytest.raises(Refusal, match="the base gives 3 scores, and a reward model gives one"):
        models.open_reward_base(reward.job(), tokenizer)
    with pytest.raises(Refusal, match="the base is a reward model: it gives scores, and says nothing"):
        models.open_base(reward.job(), tokenizer)


@pytest.mark.parametrize(
    ("bf16", "zero", "dtype", "found"),
    [
        (False, None, torch.float32, False),
        (True, None, torch.float32, True),
        (False, None, torch.bfloat16, True),
        (False, True, torch.float32, True),  # DeepSpeed's own autocast, of which transformers is not told
        (False, False, torch.float32, False),
    ],
)
def test_a_gate_knows_in_what_a_launch_calculates(
    bf16: bool, zero: bool | None, dtype: torch.dtype, found: bool
) -> None:
    plugin = None if zero is None else SimpleNamespace(deepspeed_config={"torch_autocast": {"enabled": zero}})
    trainer = SimpleNamespace(
        args=SimpleNamespace(bf16=bf16, deepspeed_plugin=plugin), model=SimpleNamespace(dtype=dtype)
    )
    assert in_bf16(trainer) is found


@pytest.mark.parametrize(
    ("apart", "moved", "passes"),
    [
        (0.009, 0.1, True),
        (0.011, 0.1, False),  # more than a tenth of what the adapter does
        (0.03, 0.8, False),  # less than that, and more than rounding explains
        (5e-6, 0, True),
        (5e-5, 0, False),
        (float("nan"), 0.1, False),
    ],
)
def test_a_merge_may_lose_little_of_its_adapter(apart: float, moved: float, passes: bool) -> None:
    adapter = torch.tensor([1.0, 0.0])
    found, base = adapter + torch.tensor([0.0, apart]), adapter + torch.tensor([0.0, moved])
    if passes:
        gates.said_the_same(found, adapter, base)
    else:
        with pytest.raises(Refusal, match=f"logits are {apart:.3g} of their .* moves by {moved:.3g}: rounding lost it"):
            gates.said_the_same(found, adapter, base)
