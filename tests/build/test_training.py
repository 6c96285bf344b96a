"""Laws 1 and 12 on TRL's real trainers: what the spread over micro-batches and processes may not change, what the
first loss must be, and what is refused before or after training."""

import importlib.util
import json
import math
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import trl
from kills import first_step
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    Trainer,
    set_seed,
)

from conftest import DPO, SFT, WORDS, Project
from posttrain.build import status
from posttrain.build.job import Job
from posttrain.data import tokens
from posttrain.files import Refusal, read_json
from posttrain.recipes import methods
from posttrain.train import arguments, models, run
from posttrain.train.trainers import DPOTrainer, ORPOTrainer, RewardTrainer, SFTTrainer

TRAINERS = {"cpt": SFTTrainer, "sft": SFTTrainer, "reward": RewardTrainer, "dpo": DPOTrainer, "orpo": ORPOTrainer}
STILL = 1e-4  # relative to the update: what rounding may change


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A training run takes the process's signals; give them back to pytest."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


class Stage:
    """Jobs of one target of the micro-chain, run in this process, each in a work folder of its own."""

    def __init__(self, project: Project, target: str, folder: Path) -> None:
        plan = max(project.path(".posttrain/plan").glob("*.json"), key=lambda path: path.stat().st_mtime)
        self.target = read_json(plan)["targets"][target]
        self.inputs = {role: project.path(path) for role, path in self.target["inputs"].items()}
        self.path, self.folder, self.count = target, folder, 0

    def of(self, method: str) -> "Stage":
        """The same stage by another method, with that one's own fields as they are if unsaid."""
        train, fields = self.target["own"]["train"], methods.METHODS[method].model_fields["train"].annotation
        kept = {name: value for name, value in train.items() if name in fields.model_fields}
        own = {"method": method, "train": fields(**kept).model_dump()}
        self.target = self.target | {"own": self.target["own"] | own}
        return self

    def job(self, micro_batch_size: int = 8, runtime: dict | None = None, **train: object) -> Job:
        self.count += 1
        own = self.target["own"]
        recipe = own | {"train": own["train"] | train}
        said = self.target["runtime"] | {"micro_batch_size": micro_batch_size, "save_steps": 100}
        said["gradient_accumulation_steps"] = recipe["train"]["batch_size"] // micro_batch_size
        work = self.folder / f"{Path(self.path).name}.{self.count}"
        (work / "files").mkdir(parents=True)
        return Job(self.path, recipe, dict(self.inputs), {}, {}, said | (runtime or {}), work)

    def tokenise(self, rows: list[dict], max_length: int = 48) -> None:
        """Have the jobs to come learn from these rows."""
        method = methods.METHODS[self.target["own"]["method"]].tokens
        recipe = {"method": method, "max_length": max_length, "assistant_only_loss": False}
        made = tokens.tokenise([rows], self.inputs["tokenizer"], recipe, processes=1)
        folder = self.folder / f"tokens.{self.count}"
        folder.mkdir()
        tokens.write((table for table, _ in made), method, folder / "train.arrow")
        self.inputs["tokens"] = folder

    def trainer(self, job: Job, trained_from: Path | None = None, kind: type | None = None) -> Trainer:
        """The trainer as the stage's script makes it; `trained_from` is another reference."""
        method, tokenizer = job.recipe["method"], models.open_tokenizer(job)
        args = getattr(arguments, {"cpt": "sft"}.get(method, method))(job)
        parts = {"args": args, "processing_class": tokenizer, "train_dataset": models.open_tokens(job)}
        if method == "reward":
            parts["model"], parts["new_head"] = models.open_reward_base(job, tokenizer)
        else:
            parts["model"] = models.open_base(job, tokenizer)
        if trained_from:
            job.inputs["base"] = trained_from
        if method == "dpo":
            parts["ref_model"] = models.open_base(job, tokenizer)
        return (kind or TRAINERS[method])(**parts)

    def train(self, job: Job, **options: object) -> dict[str, torch.Tensor]:
        """The weights after training."""
        trainer = self.trainer(job, **options)
        run.train(trainer, job)
        return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}

    def base(self) -> dict[str, torch.Tensor]:
        return self.trainer(self.job()).model.state_dict()


@pytest.fixture
def sft(micro_built: Project, tmp_path: Path) -> Stage:
    return Stage(micro_built, SFT, tmp_path)


@pytest.fixture
def dpo(micro_built: Project, tmp_path: Path) -> Stage:
    return Stage(micro_built, DPO, tmp_path)


def uneven(method: str, count: int = 64) -> list[dict]:
    """Rows whose lengths differ several times over."""
    draw = random.Random(0)  # noqa: S311

    def turn(role: str, words: int) -> dict:
        return {"role": role, "content": " ".join(draw.choices(WORDS, k=words))}

    def answer(i: int) -> list[dict]:
        return [turn("assistant", 1 + i % 7)]

    if method == "sft":
        return [{"messages": [turn("user", 1 + i % 2), *answer(i)]} for i in range(count)]
    return [{"prompt": [turn("user", 1)], "chosen": answer(i), "rejected": answer(i + 3)} for i in range(count)]


def difference(a: dict, b: dict, base: dict) -> float:
    """How far two trained models are apart, in lengths of the way that one has come."""
    apart = sum(((a[name] - b[name]).double() ** 2).sum() for name in base)
    way = sum(((a[name] - base[name]).double() ** 2).sum() for name in base)
    return math.sqrt(apart / way)


# Law 1: the batch is the batch


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


class AsPublished(trl.DPOTrainer):
    """TRL's own, given ready tokens."""

    def _prepare_dataset(self, dataset: object, *_: object) -> object:
        return dataset


def test_trl_itself_weighs_a_row_by_its_neighbours(dpo: Stage) -> None:
    """The reason for our DPOTrainer, and the proof that the test above can fail."""
    assert spread(dpo, "dpo", AsPublished, loss_type=["sigmoid", "sft"]) > 100 * STILL


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


# Law 12: physics


@pytest.mark.parametrize(
    ("loss", "beta", "first"),
    [
        (["sigmoid"], 0.1, math.log(2)),
        (["ipo"], 0.1, 25.0),
        (["ipo"], 0.5, 1.0),
        (["hinge"], 0.1, 1.0),
        (["apo_zero"], 0.1, 1.0),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_the_first_loss_is_the_one_that_physics_knows(dpo: Stage, loss: list[str], beta: float, first: float) -> None:
    job = dpo.job(batch_size=8, max_steps=1, loss_type=loss, beta=beta, logging_steps=1)
    dpo.train(job)
    assert job.metrics["history"][0]["loss"] == pytest.approx(first, rel=1e-4)


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
    job = dpo.job(loss_type=loss)
    trainer = dpo.trainer(job, trained_from=dpo.folder / noisy(dpo))
    assert stopped_at_the_gate(job, trainer, "the first loss of")


def test_the_gate_holds_for_bases_in_bfloat16_and_with_dropout(dpo: Stage) -> None:
    """Llama-like models keep their dropout in the config (StarCoder2: 0.1), where TRL does not switch it off."""
    shutil.copytree(dpo.inputs["base"], dpo.folder / "base")
    dpo.inputs["base"] = dpo.folder / "base"
    config = dpo.folder / "base/config.json"
    said = read_json(config)
    config.unlink()
    config.write_text(json.dumps(said | {"attention_dropout": 0.5}))
    job = dpo.job(max_steps=2, loss_type=["sigmoid"], dtype="bfloat16", bf16=True)
    dpo.train(job)
    assert job.metrics["train"]["train_loss"] == pytest.approx(math.log(2), rel=0.1)


def noisy(stage: Stage) -> str:
    """The name of a copy of the base with other weights."""
    set_seed(0)
    return changed(stage, "noisy", lambda name, tensor: tensor + 0.05 * torch.randn_like(tensor))


def changed(stage: Stage, copy: str, change: Callable[[str, torch.Tensor], torch.Tensor]) -> str:
    """The name of a copy of the base whose weights were changed."""
    shutil.copytree(stage.inputs["base"], stage.folder / copy)
    path = stage.folder / copy / "model.safetensors"
    weights = {name: change(name, tensor) for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(weights, path, {"format": "pt"})
    return copy


def stopped_at_the_gate(job: Job, trainer: Trainer, why: str) -> bool:
    """Whether a run is refused before anything is learnt."""
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with pytest.raises(Refusal, match=f"physics gate: {why}"):
        run.train(trainer, job)
    after = trainer.model.state_dict()
    assert all(torch.equal(tensor.nan_to_num(), after[name].nan_to_num()) for name, tensor in before.items())
    return not list(job.checkpoints.glob("checkpoint-*"))


@pytest.mark.parametrize("method", ["cpt", "sft", "orpo"])
def test_a_base_of_another_vocabulary_is_stopped_before_anything_is_learnt(method: str, sft: Stage, dpo: Stage) -> None:
    """A base that knows its rows well, and then the same base with its tokens in other places."""
    taught = sft.job(learning_rate=1e-2, max_steps=60)
    trainer = sft.trainer(taught)
    run.train(trainer, taught)
    run.save(trainer, taught)
    stage = dpo.of("orpo") if method == "orpo" else sft.of(method)
    stage.inputs["base"] = taught.out
    run.train(stage.trainer(job := stage.job(max_steps=1)), job)
    assert job.metrics["history"][0]["loss"] < math.log(262)

    def moved(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.roll(100, 0) if "embed_tokens" in name else tensor

    stage.inputs["base"] = stage.folder / changed(stage, "moved", moved)
    job = stage.job()
    assert stopped_at_the_gate(job, stage.trainer(job), "the first loss is .* a token, and guessing among 262")


@pytest.mark.parametrize("method", ["cpt", "sft", "orpo"])
def test_a_base_that_knows_nothing_yet_passes_the_gate(method: str, sft: Stage, dpo: Stage) -> None:
    base, stage = sft.inputs["base"], dpo.of("orpo") if method == "orpo" else sft.of(method)
    stage.inputs["base"] = base
    job = stage.job(max_steps=1, dtype="bfloat16", bf16=True)
    stage.train(job)
    assert abs(job.metrics["history"][0]["loss"] - math.log(262)) < 0.5


@pytest.fixture
def reward(dpo: Stage) -> Stage:
    dpo.of("reward").tokenise(uneven("dpo"))
    return dpo


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
        models.prove(trainer.model, job, sharded=False)


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


# What goes wrong, and is said


def test_a_step_that_is_no_number_is_named_and_never_saved(sft: Stage) -> None:
    job = sft.job(learning_rate=1e25, max_grad_norm=0, runtime={"logging_steps": 1, "save_steps": 1})
    with pytest.raises(Refusal, match="grad_norm is nan at step 2; lower learning_rate"):
        run.train(sft.trainer(job), job)
    assert [path.name for path in job.checkpoints.glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_loss_that_is_no_number_is_named(dpo: Stage) -> None:
    job = dpo.job(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1e39], runtime={"logging_steps": 1})
    with pytest.raises(Refusal, match="loss is (inf|nan) at step 1; lower learning_rate"):
        run.train(dpo.trainer(job), job)


@pytest.fixture
def saved(sft: Stage) -> tuple[Job, torch.nn.Module]:
    """A trained model as saved, and in memory."""
    job = sft.job(max_steps=1)
    trainer = sft.trainer(job)
    run.train(trainer, job)
    run.save(trainer, job)
    return job, trainer.model


def damage(job: Job, change: str) -> None:
    path = job.out / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    if change == "one bit":
        raw = weights[name].view(torch.int32)
        raw[0, 0] ^= 1
    elif change == "missing":
        del weights[name]
    elif change == "extra":
        weights["model.layers.7.self_attn.q_proj.weight"] = weights[name].clone()
    else:
        weights[name][0, 0] = float(change)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("change", ["missing", "extra", "nan", "inf"])
def test_a_saved_model_that_is_broken_is_refused(
    saved: tuple[Job, torch.nn.Module], change: str, sharded: bool
) -> None:
    job, model = saved
    damage(job, change)
    with pytest.raises(Refusal, match=r"the saved model is .*layers\.\d\.self_attn\.q_proj"):
        models.prove(model, job, sharded)


def test_a_saved_model_with_one_wrong_bit_is_refused(saved: tuple[Job, torch.nn.Module]) -> None:
    job, model = saved
    models.prove(model, job, sharded=False)
    damage(job, "one bit")
    with pytest.raises(Refusal, match="q_proj.weight differs"):
        models.prove(model, job, sharded=False)


def test_saved_files_do_not_tell_where_they_were_made(saved: tuple[Job, torch.nn.Module]) -> None:
    job, _ = saved
    text = "".join(path.read_text() for path in job.out.glob("*.json"))
    assert str(job.work) not in text and str(job.inputs["base"]) not in text
    assert not (job.out / "training_args.bin").exists()


@pytest.mark.parametrize("method", TRAINERS)
def test_a_trainer_writes_nothing_beside_the_tokens(sft: Stage, dpo: Stage, method: str) -> None:
    stage = (sft if method in ("cpt", "sft") else dpo).of(method)
    stage.tokenise(uneven("sft" if method == "sft" else "dpo") if method != "cpt" else [{"text": "ant " * 500}])
    stage.trainer(stage.job())
    assert [path.name for path in stage.inputs["tokens"].iterdir()] == ["train.arrow"]


# Resuming


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


# Tokens that the base lacks


@pytest.fixture
def wider(sft: Stage) -> Stage:
    """A stage whose tokenizer has two tokens more than the base, one of which ends an answer."""
    tokenizer = AutoTokenizer.from_pretrained(sft.inputs["tokenizer"])
    from posttrain.data.tokenizer import add_tokens

    add_tokens(tokenizer, ["<|turn|>", "<|end|>"], "<|end|>")
    tokenizer.save_pretrained(sft.folder / "wider")
    sft.inputs["tokenizer"] = sft.folder / "wider"
    sft.tokenise(uneven("sft"))
    return sft


def test_added_tokens_widen_the_embeddings_the_same_way_each_time(wider: Stage) -> None:
    job = wider.job()
    tokenizer = models.open_tokenizer(job)
    torch.rand(7)  # what was drawn before does not matter
    first = models.open_base(job, tokenizer)
    torch.rand(3)
    second = models.open_base(job, tokenizer)
    old = load_file(job.inputs["base"] / "model.safetensors")["model.embed_tokens.weight"]
    rows = first.get_input_embeddings().weight
    assert len(rows) == len(tokenizer) == len(old) + 2 == first.config.vocab_size
    assert torch.equal(rows[: len(old)], old)
    assert torch.equal(rows, second.get_input_embeddings().weight)
    other = models.open_base(wider.job(seed=2), tokenizer)
    assert not torch.equal(rows[len(old) :], other.get_input_embeddings().weight[len(old) :])


def test_model_and_tokenizer_agree_on_where_an_answer_ends(wider: Stage) -> None:
    job = wider.job(max_steps=1)
    trainer = wider.trainer(job)
    run.train(trainer, job)
    run.save(trainer, job)
    tokenizer = AutoTokenizer.from_pretrained(job.out)
    assert tokenizer.eos_token == "<|end|>"
    for config in (AutoConfig.from_pretrained(job.out), GenerationConfig.from_pretrained(job.out)):
        assert (config.eos_token_id, config.pad_token_id, config.bos_token_id) == (
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
            tokenizer.bos_token_id,
        )


# Two processes, through the build


RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
BASES = {SFT: "models/micro-init", DPO: SFT}
# `python -m venv`, then `pip install -e '.[gpu]'` without bitsandbytes and flash-attn: it needs no GPU.
deepspeed = pytest.mark.skipif(
    not (importlib.util.find_spec("deepspeed") and shutil.which("g++")),
    reason="ZeRO-3 needs deepspeed, and g++ for its communication",
)


def weights(project: Project, target: str) -> dict[str, torch.Tensor]:
    return load_file(project.path(f"{target}/model.safetensors"))


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
