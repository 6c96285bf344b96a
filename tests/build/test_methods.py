"""What the chain's models learnt by each method, and that several processes learn the same."""

import json
import math
from pathlib import Path

import pytest
import torch
from stages import STILL, Stage, difference, uneven, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from conftest import Project, pairs
from posttrain.recipes.methods import METHODS, TrainedModel
from posttrain.report.curves import CURVES, chart
from posttrain.train import run

pytest_plugins = ["stage_fixtures"]

CPT, SFT, RS, REWARD, ORPO = (f"models/chain-{name}" for name in ("cpt", "sft", "rs", "reward", "orpo"))


def losses(project: Project, target: str) -> list[float]:
    record = json.loads(project.path(f"{target}.run.json").read_text())
    return [line["loss"] for line in record["metrics"]["history"] if "loss" in line]


@pytest.mark.parametrize("target", [CPT, SFT, ORPO])
def test_what_is_learnt_lowers_the_loss(chain_built: Project, target: str) -> None:
    found = losses(chain_built, target)
    assert len(found) >= 4 and all(map(math.isfinite, found))
    assert found[-1] < 0.95 * found[0]


@pytest.mark.parametrize("target", [CPT, SFT, ORPO])
def test_a_language_model_opens_as_one(chain_built: Project, target: str) -> None:
    folder = chain_built.path(target)
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.get_input_embeddings().num_embeddings == len(AutoTokenizer.from_pretrained(folder))


def test_a_reward_model_opens_as_one_and_prefers_what_was_chosen(dpo: Stage) -> None:
    reward = dpo.of("reward")
    reward.tokenise(pairs())
    job = reward.job(num_train_epochs=2, learning_rate=1e-2)
    trainer, folder = reward.trainer(job), job.out
    run.train(trainer, job)
    run.save(trainer, job)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (model.config.num_labels, model.config.pad_token_id) == (1, tokenizer.pad_token_id)

    def score(turns: list[dict]) -> float:
        ids = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return model(ids).logits.item()

    right = [score(row["prompt"] + row["chosen"]) > score(row["prompt"] + row["rejected"]) for row in pairs()]
    assert sum(right) > 0.75 * len(right)


def test_orpo_reads_the_tokens_of_dpo(chain_built: Project) -> None:
    """Equal tokens are one target, whatever the method."""
    targets = chain_built.targets()
    tokens = {name: targets[f"models/chain-{name}"]["inputs"]["tokens"] for name in ("dpo", "orpo", "reward", "sft")}
    assert tokens["dpo"] == tokens["orpo"]
    assert len(set(tokens.values())) == 3
    assert targets[targets[CPT]["inputs"]["tokens"]]["identity"] == {
        "stage": "tokenize_rows", "version": 4, "method": "cpt", "max_length": 32,
        "packing_strategy": "wrapped",
    }  # fmt: skip


def test_texts_of_a_build_fill_their_rows(chain_built: Project) -> None:
    tokens = chain_built.targets()[CPT]["inputs"]["tokens"]
    ledger, _ = json.loads(chain_built.path(f"{tokens}/ledger.json").read_text())["entries"]
    metrics = json.loads(chain_built.path(f"{tokens}.run.json").read_text())["metrics"]
    assert (ledger["read"], ledger["kept"]) == (128, 128)
    assert metrics["rows"] == -(-metrics["tokens"] // 32)
    assert metrics["longest"] == 32
    assert metrics["filled"] == metrics["tokens"] / (metrics["rows"] * 32) > 0.9


def test_two_processes_make_the_models_that_one_makes(chain_built: Project, tmp_path: Path) -> None:
    two = chain_built.copy(tmp_path / "p")
    two.edit("runtime: {save_steps: 1, logging_steps: 1}", "runtime: {processes: 2, launch: ddp}")
    for target, base in ((REWARD, SFT), (ORPO, RS)):
        two.forget(target)
        assert two.make(target)[1] == [target]
        assert two.manifest(f"{target}.run")["launch"]["processes"] == 2
        assert difference(weights(chain_built, target), weights(two, target), weights(chain_built, base)) < STILL


@pytest.mark.parametrize("stage", CURVES)
def test_what_a_page_draws_of_a_training_its_trainer_writes_down(micro_built, tmp_path, signals_as_they_were, stage):
    method = stage.removeprefix("train_")
    made = Stage.by(method, micro_built, tmp_path / "s")
    made.tokenise(uneven(method, 32))
    job = made.job(num_train_epochs=2)
    run.train(made.trainer(job), job)
    for title, lines in CURVES[stage].items():
        drawn = chart(title, lines, job.metrics["history"])
        assert [line["name"] for line in drawn["lines"]] == list(lines), title


def test_a_page_draws_every_training():
    assert set(CURVES) == {f"train_{method}" for method, kind in METHODS.items() if issubclass(kind, TrainedModel)}
