"""Whole builds by the methods beside SFT and DPO: text, a reward model, ORPO, on the long chain."""

import json
import math

import pytest
import torch
from stages import STILL, difference, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from conftest import Project
from posttrain.data import rows

CPT, SFT, REWARD, ORPO = (f"models/chain-{name}" for name in ("cpt", "sft", "reward", "orpo"))


def losses(project: Project, target: str) -> list[float]:
    record = json.loads(project.path(f"{target}.run.json").read_text())
    return [line["loss"] for line in record["metrics"]["history"] if "loss" in line]


@pytest.mark.parametrize("target", [CPT, SFT, REWARD, ORPO])
def test_what_is_learnt_lowers_the_loss(chain_built: Project, target: str) -> None:
    found = losses(chain_built, target)
    half = len(found) // 2
    assert half >= 2 and all(map(math.isfinite, found))
    assert sum(found[half:]) < 0.95 * sum(found[:half])


@pytest.mark.parametrize("target", [CPT, SFT, ORPO])
def test_a_language_model_opens_as_one(chain_built: Project, target: str) -> None:
    folder = chain_built.path(target)
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.get_input_embeddings().num_embeddings == len(AutoTokenizer.from_pretrained(folder))


def test_a_reward_model_opens_as_one_and_prefers_what_was_chosen(chain_built: Project) -> None:
    folder = chain_built.path(REWARD)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (model.config.num_labels, model.config.pad_token_id) == (1, tokenizer.pad_token_id)
    pairs = rows.read(chain_built.path("preferences/chain-judged/train.parquet"))

    def score(turns: list[dict]) -> float:
        ids = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return model(ids).logits.item()

    right = [score(pair["prompt"] + pair["chosen"]) > score(pair["prompt"] + pair["rejected"]) for pair in pairs]
    assert sum(right) > 0.75 * len(pairs)


def test_orpo_reads_the_tokens_of_dpo(chain: Project) -> None:
    """Equal tokens are one target, whatever the method."""
    judge = "  chain-judge:\n    extends: chain-reward\n    preferences: chain-pairs\n\nevals:"
    chain.edit("\nevals:", judge)
    chain.make("-n", ORPO)
    targets = json.loads(chain.plan().read_text())["targets"]
    tokens = {name: targets[f"models/chain-{name}"]["inputs"]["tokens"] for name in ("dpo", "orpo", "judge", "rs")}
    assert tokens["dpo"] == tokens["orpo"]
    assert len(set(tokens.values())) == 3
    assert targets[targets[CPT]["inputs"]["tokens"]]["identity"] == {
        "stage": "tokenize_rows", "version": 2, "method": "cpt", "max_length": 32,
    }  # fmt: skip


def test_texts_of_a_build_fill_their_rows(chain_built: Project) -> None:
    tokens = json.loads(chain_built.plan().read_text())["targets"][CPT]["inputs"]["tokens"]
    (ledger,) = json.loads(chain_built.path(f"{tokens}/ledger.json").read_text())["entries"]
    metrics = json.loads(chain_built.path(f"{tokens}.run.json").read_text())["metrics"]
    assert (ledger["read"], ledger["kept"]) == (128, 128)
    assert metrics["rows"] == -(-metrics["tokens"] // 32)
    assert metrics["longest"] == 32


def test_two_processes_make_the_models_that_one_makes(chain_built: Project, chain: Project) -> None:
    chain.edit("runtime: {save_steps: 1, logging_steps: 1}", "runtime: {processes: 2, launch: ddp}")
    for target in (REWARD, ORPO):
        chain.forget(target)
    assert set(chain.make(REWARD, ORPO)[1]) == {REWARD, ORPO}
    for target, base in ((REWARD, SFT), (ORPO, "models/chain-rs")):
        assert chain.manifest(f"{target}.run")["launch"]["processes"] == 2
        assert difference(weights(chain_built, target), weights(chain, target), weights(chain_built, base)) < STILL
