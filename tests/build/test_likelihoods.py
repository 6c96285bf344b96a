"""How likely a policy finds the answers of pairs: as transformers and TRL say it, and as DPO would see them."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import DPO, SFT, Project
from judges import always
from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.evaluate import pairs, points
from posttrain.evaluate.points import Measured
from posttrain.files import Refusal

ROWS, SIDES = "preferences/micro-pairs", ("chosen", "rejected")


def measured(work: Path, max_length: int = 48, **inputs: Path) -> Measured:
    recipe = {"split": "train", "max_length": max_length}
    return pairs.evaluate(Job("evals/x/y", recipe, inputs, {}, {}, {"processes": 1, "gpus": 0}, work))


def by_transformers(folder: Path, pair: dict, side: str) -> float:
    """The log-prob of an answer, of the whole conversation read alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    said = {"return_dict": True, "return_tensors": "pt"}
    prompt = tokenizer.apply_chat_template(pair["prompt"], add_generation_prompt=True, **said)["input_ids"]
    whole = tokenizer.apply_chat_template(pair["prompt"] + pair[side], **said)["input_ids"]
    with torch.no_grad():
        logps = model(whole).logits[0, :-1].double().log_softmax(-1)
    found = logps.gather(1, whole[0, 1:, None])[:, 0]
    return found[prompt.shape[1] - 1 :].sum().item()


def by_trl(project: Project) -> list[list[float]]:
    """What TRL's own path found of the same answers, before DPO was held to it."""
    folder = project.path(json.loads(project.plan().read_text())["targets"][DPO]["inputs"]["reference"])
    table = pa.ipc.open_stream(folder / "train.arrow").read_all()
    return [table[f"ref_{side}_logps"].to_pylist() for side in SIDES]


def test_log_probs_are_those_of_transformers_and_of_trl(micro_built, tmp_path):
    found = measured(tmp_path, model=micro_built.path(SFT), rows=micro_built.path(ROWS))
    read = rows.read(micro_built.path(ROWS) / "train.parquet")
    for row, pair in list(zip(found.samples, read, strict=True))[::8]:
        for side in SIDES:
            assert row[side] == row[f"{side}_logps"]
            assert row[side] == pytest.approx(by_transformers(micro_built.path(SFT), pair, side), abs=1e-4)
    for side, logps in zip(SIDES, by_trl(micro_built), strict=True):
        assert [row[f"{side}_logps"] for row in found.samples] == pytest.approx(logps, abs=1e-3)
    figures = points.figures(points.table(found.points))
    chosen, rejected = (torch.tensor([row[side] for row in found.samples]) for side in SIDES)
    assert found.counts == {"pairs": 32, "left_out": 0}
    assert {name: figure["value"] for name, figure in figures.items()} == pytest.approx(
        {
            "accuracy": (chosen > rejected).float().mean().item(),
            "margin": (chosen - rejected).mean().item(),
            "chosen_logps": chosen.mean().item(),
            "rejected_logps": rejected.mean().item(),
        },
        rel=1e-5,
    )
    assert figures["chosen_logps"]["low"] < figures["chosen_logps"]["value"] < figures["chosen_logps"]["high"]


def test_against_a_reference_it_is_dpos_reward_that_is_compared(micro_built, tmp_path):
    folders = {"model": micro_built.path(DPO), "rows": micro_built.path(ROWS)}
    found = measured(tmp_path / "to", **folders, reference=micro_built.path(SFT)).samples
    alone = measured(tmp_path / "alone", **folders).samples
    for side, reference in zip(SIDES, by_trl(micro_built), strict=True):
        assert [row[f"{side}_logps"] for row in found] == [row[side] for row in alone]
        rewards = [row[side] - base for row, base in zip(alone, reference, strict=True)]
        assert [row[side] for row in found] == pytest.approx(rewards, abs=1e-3)
    assert sum(row["chosen"] > row["rejected"] for row in found) > 16, "four steps teach it something"


def test_a_pair_that_dpo_leaves_out_is_left_out(micro_built, tmp_path):
    """Of prompts and marks of so many tokens the longest fill what may be read."""
    folders = {"model": micro_built.path(SFT), "rows": micro_built.path(ROWS)}
    asked = [len(pair["prompt"][0]["content"]) + 2 for pair in rows.read(folders["rows"] / "train.parquet")]
    found = measured(tmp_path / "5", 6, **folders)
    assert 0 < found.counts["left_out"] == sum(length >= 6 for length in asked) < 32
    with pytest.raises(Refusal, match=r"^max_length: no pair of .* has as few as 4 tokens$"):
        measured(tmp_path / "4", 4, **folders)


def test_a_reference_of_other_tokens_is_refused(micro_built, tmp_path):
    always("Verdict: [[A]]", tmp_path / "other")
    folders = {"model": micro_built.path(SFT), "rows": micro_built.path(ROWS)}
    with pytest.raises(
        Refusal, match=r"^reference: .*/other has other tokens than .*; name the model that it began as"
    ):
        measured(tmp_path, **folders, reference=tmp_path / "other")


def test_a_reward_model_has_no_reference(micro_built, tmp_path):
    folder = shutil.copytree(micro_built.path(SFT), tmp_path / "head", symlinks=True)
    said = json.loads((folder / "config.json").read_text()) | {"architectures": ["LlamaForSequenceClassification"]}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(Refusal, match="is a reward model, whose scores are its own; leave `reference` out"):
        measured(tmp_path, model=folder, rows=micro_built.path(ROWS), reference=folder)
