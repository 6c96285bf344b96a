"""What is saved of a training, and that nothing broken is: steps, weights, and tokens that the base lacks."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from stages import TRAINERS, Stage, uneven
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
)

from posttrain.build.job import Job
from posttrain.data.tokenizer import add_tokens
from posttrain.files import Refusal
from posttrain.train import models, run

pytest_plugins = ["stage_fixtures"]


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
        models.prove(model, job.out, sharded)


def test_a_saved_model_with_one_wrong_bit_is_refused(saved: tuple[Job, torch.nn.Module]) -> None:
    job, model = saved
    models.prove(model, job.out, sharded=False)
    damage(job, "one bit")
    with pytest.raises(Refusal, match="q_proj.weight differs"):
        models.prove(model, job.out, sharded=False)


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


# Tokens that the base lacks


@pytest.fixture
def wider(sft: Stage) -> Stage:
    """A stage whose tokenizer has two tokens more than the base, one of which ends an answer."""
    tokenizer = AutoTokenizer.from_pretrained(sft.inputs["tokenizer"])
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
