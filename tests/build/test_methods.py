"""Whole builds by the methods beside SFT and DPO: text, chat, a reward model, ORPO, on the micro-chain."""

import json
import math
from pathlib import Path

import pytest
import torch
from stages import STILL, difference, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from conftest import MICRO, Project, built_once, checkout

CPT, CHAT, REWARD, ORPO = (f"models/micro-{name}" for name in ("cpt", "chat", "reward", "orpo"))
PAGE = f"""{MICRO}\
  micro-cpt:
    method: cpt
    base: micro-init
    data: micro-text
    train: {{learning_rate: 1e-2, batch_size: 8, max_length: 32, bf16: false, seed: 1}}
    runtime: {{logging_steps: 1}}
  micro-chat:
    extends: micro-sft
    base: micro-cpt
  micro-reward:
    method: reward
    base: micro-chat
    preferences: micro-pairs
    train: {{learning_rate: 1e-2, batch_size: 8, num_train_epochs: 2, max_length: 48, bf16: false, seed: 1}}
    runtime: {{logging_steps: 1}}
  micro-orpo:
    method: orpo
    base: micro-chat
    preferences: micro-pairs
    train: {{learning_rate: 1e-2, batch_size: 8, num_train_epochs: 2, max_length: 48, bf16: false, seed: 1}}
    runtime: {{logging_steps: 1}}
""".replace("preferences:\n", "  micro-text:\n    sources:\n      - {path: texts.jsonl}\n\npreferences:\n", 1)


@pytest.fixture(scope="session")
def methods_built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_once(tmp_path_factory, "methods-built", PAGE, [REWARD, ORPO])


def losses(project: Project, target: str) -> list[float]:
    record = json.loads(project.path(f"{target}.run.json").read_text())
    return [line["loss"] for line in record["metrics"]["history"] if "loss" in line]


def test_each_model_is_made_of_the_one_before(methods_built: Project) -> None:
    made = [path for path in methods_built.started() if path.startswith("models/")]
    assert made[:3] == ["models/micro-init", CPT, CHAT]
    assert set(made[3:]) == {REWARD, ORPO}


@pytest.mark.parametrize("target", [CPT, CHAT, REWARD, ORPO])
def test_what_is_learnt_lowers_the_loss(methods_built: Project, target: str) -> None:
    found = losses(methods_built, target)
    assert len(found) >= 4 and all(map(math.isfinite, found))
    assert found[-1] < 0.95 * found[0]


@pytest.mark.parametrize("target", [CPT, CHAT, ORPO])
def test_a_language_model_opens_as_one(methods_built: Project, target: str) -> None:
    folder = methods_built.path(target)
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.get_input_embeddings().num_embeddings == len(AutoTokenizer.from_pretrained(folder))


def test_a_reward_model_opens_as_one_and_prefers_what_was_chosen(methods_built: Project) -> None:
    folder = methods_built.path(REWARD)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (model.config.num_labels, model.config.pad_token_id) == (1, tokenizer.pad_token_id)
    rows = [json.loads(line) for line in methods_built.path("pairs.jsonl").read_text().splitlines()]

    def score(turns: list[dict]) -> float:
        ids = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return model(ids).logits.item()

    right = [score(row["prompt"] + row["chosen"]) > score(row["prompt"] + row["rejected"]) for row in rows]
    assert sum(right) > 0.75 * len(rows)


def test_orpo_reads_the_tokens_of_dpo(methods_built: Project) -> None:
    """Equal tokens are one target, whatever the method."""
    targets = methods_built.targets()
    tokens = {name: targets[f"models/micro-{name}"]["inputs"]["tokens"] for name in ("dpo", "orpo", "reward", "chat")}
    assert tokens["dpo"] == tokens["orpo"]
    assert len(set(tokens.values())) == 3
    assert targets[targets[CPT]["inputs"]["tokens"]]["identity"] == {
        "stage": "tokenize_rows", "version": 4, "method": "cpt", "max_length": 32,
        "packing_strategy": "wrapped",
    }  # fmt: skip


def test_texts_of_a_build_fill_their_rows(methods_built: Project) -> None:
    tokens = methods_built.targets()[CPT]["inputs"]["tokens"]
    (ledger,) = json.loads(methods_built.path(f"{tokens}/ledger.json").read_text())["entries"]
    metrics = json.loads(methods_built.path(f"{tokens}.run.json").read_text())["metrics"]
    assert (ledger["read"], ledger["kept"]) == (128, 128)
    assert metrics["rows"] == -(-metrics["tokens"] // 32)
    assert metrics["longest"] == 32
    assert metrics["filled"] == metrics["tokens"] / (metrics["rows"] * 32) > 0.9


def test_two_processes_make_the_models_that_one_makes(methods_built: Project, tmp_path: Path) -> None:
    two = methods_built.copy(tmp_path / "p")
    two.edit("runtime: {logging_steps: 1}", "runtime: {processes: 2, launch: ddp}")
    for target in (REWARD, ORPO):
        two.forget(target)
    assert set(two.make(REWARD, ORPO)[1]) == {REWARD, ORPO}
    base = weights(methods_built, CHAT)
    for target in (REWARD, ORPO):
        assert two.manifest(f"{target}.run")["launch"]["processes"] == 2
        assert difference(weights(methods_built, target), weights(two, target), base) < STILL


def test_two_clean_builds_have_equal_weights(methods_built: Project, tmp_path: Path) -> None:
    elsewhere = checkout(tmp_path / "else where", PAGE)
    elsewhere.make(REWARD, ORPO)
    for target in (CPT, CHAT, REWARD, ORPO):
        assert elsewhere.content(target) == methods_built.content(target)
        assert elsewhere.weights(target) == methods_built.weights(target)
