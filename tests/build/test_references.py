"""References: log-probs that are computed once, and are those that TRL's trainers would compute."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import trl
from datasets import Dataset
from stages import Stage, uneven
from transformers import Trainer

from conftest import DPO, Project
from posttrain.files import Refusal
from posttrain.recipes import methods
from posttrain.train import arguments, models
from posttrain.train.reference import REFERENCES, asking
from posttrain.train.trainers import DPOTrainer

pytest_plugins = ["stage_fixtures"]


def log_probs(stage: Stage, **train: object) -> dict[str, list[float]]:
    stage.refer(**train)
    return Dataset.from_file(str(stage.inputs["reference"] / "train.arrow")).to_dict()


def trls(stage: Stage, ld_alpha: float | None = None) -> dict[str, list[float]]:
    """What TRL's own trainer makes of the same rows and base, in its own batches."""
    job = stage.job(ld_alpha=ld_alpha) if ld_alpha is not None else stage.job()
    trainer = stage.trainer(job)
    loader = torch.utils.data.DataLoader(trainer.train_dataset, batch_size=4, collate_fn=trainer.data_collator)
    two = [trainer.compute_ref_log_probs(trainer.model, batch) for batch in loader]
    return [torch.cat(column).tolist() for column in zip(*two, strict=True)]


@pytest.mark.parametrize("ld_alpha", [None, 0.3])
def test_the_log_probs_of_pairs_are_those_of_trl(dpo: Stage, ld_alpha: float | None) -> None:
    dpo.tokenise(uneven("dpo"))
    found = log_probs(dpo, **({} if ld_alpha is None else {"ld_alpha": ld_alpha}))
    for column, theirs in zip(found.values(), trls(dpo, ld_alpha), strict=True):
        assert column == pytest.approx(theirs, rel=1e-5)


def test_the_log_probs_of_single_answers_are_those_of_trl(dpo: Stage) -> None:
    stage = dpo.of("kto")
    stage.tokenise(uneven("dpo"))
    found = log_probs(stage)
    assert list(found) == ["ref_logps", "ref_KL_logps"]
    for column, theirs in zip(found.values(), trls(stage), strict=True):
        assert column == pytest.approx(theirs, rel=1e-5)


def test_blocks_kept_over_a_kill_are_not_asked_for_again(dpo: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    dpo.tokenise(uneven("dpo"))
    job = dpo.job()
    job.recipe["method"] = "dpo"
    job.inputs.pop("reference")
    tokenizer, args = models.open_tokenizer(job), arguments.reference(job)
    reference = REFERENCES["dpo"](policy := models.open_base(job, tokenizer), asking(policy, args), tokenizer, job)
    monkeypatch.setattr("posttrain.train.reference.batches", lambda lengths: [list(range(i, 64, 4)) for i in range(4)])
    rows, asked = models.open_tokens(job), []
    ask = reference.ask
    reference.ask = lambda block: asked.append(len(block)) or ask(block)
    whole = reference.log_probs(rows, "train")
    assert asked == [16] * 4
    (job.kept / "train/2.json").unlink()
    assert reference.log_probs(rows, "train").equals(whole) and asked == [16] * 5


def test_no_second_model_is_opened_and_no_cache_of_trls_is_read(
    dpo: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("TRL opened a reference of its own")

    monkeypatch.setattr("trl.trainer.dpo_trainer.create_model_from_path", never)
    monkeypatch.setattr(Dataset, "_get_cache_file_path", never)
    dpo.tokenise(uneven("dpo"))
    trainer = dpo.trainer(job := dpo.job(max_steps=1))
    assert trainer.ref_model is None and isinstance(trainer, DPOTrainer)
    Trainer.train(trainer)
    assert job.recipe["method"] in methods.HELD_TO_A_REFERENCE


def test_what_chance_would_say_is_no_reference(dpo: Stage) -> None:
    job = dpo.job()
    del job.recipe["train"]["seed"]  # a reference's recipe has one only where rows are drawn for a template's tokens
    tokenizer = models.open_tokenizer(job)
    tokenizer.add_tokens(["<new>"])
    with pytest.raises(Refusal, match=f"has {len(tokenizer)} tokens, and the base rows for {len(tokenizer) - 1}"):
        models.open_base(job, tokenizer)


def test_a_build_has_one_reference_and_its_rows_are_the_tokens(micro_built: Project) -> None:
    inputs = micro_built.targets()[DPO]["inputs"]
    rows = [Dataset.from_file(str(micro_built.path(f"{inputs[role]}/train.arrow"))) for role in ("tokens", "reference")]
    assert len(rows[0]) == len(rows[1]) == 32
    assert json.loads(micro_built.path(f"{inputs['reference']}.run.json").read_text())["metrics"]["train_rows"] == 32


def test_log_probs_are_not_rounded_to_weights_in_bfloat16(dpo: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers does under ZeRO: of a sum of hundreds nothing would be left of what a policy learns."""
    trainer = dpo.trainer(dpo.job())
    given = next(iter(trainer.get_train_dataloader()))
    zero = SimpleNamespace(hf_ds_config=SimpleNamespace(dtype=lambda: torch.bfloat16))
    monkeypatch.setattr(type(trainer.accelerator.state), "deepspeed_plugin", zero)
    monkeypatch.setattr(trainer, "is_deepspeed_enabled", True)
    seen, published = trainer._prepare_inputs(given), trl.DPOTrainer._prepare_input(trainer, given["ref_chosen_logps"])
    assert torch.equal(seen["ref_chosen_logps"], given["ref_chosen_logps"])
    assert published.dtype == torch.bfloat16
