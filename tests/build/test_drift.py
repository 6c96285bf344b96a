"""How far a model has moved from its first policy: KL on its own answers, as one would work it out by hand."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from conftest import DPO, SFT, Project
from posttrain.build.job import Job
from posttrain.checkpoints import prompt_ids
from posttrain.data import rows
from posttrain.evaluate import drift, points, text
from posttrain.files import Refusal
from posttrain.sample.completions import key_of
from posttrain.sample.engines.transformers import Engine

SAMPLING = {"n": 2, "temperature": 1, "top_k": 0, "top_p": 1, "max_new_tokens": 8, "seed": 3, "block_size": 16}


def job_of(project: Project, model: str, first: str, work: Path) -> Job:
    inputs = {"model": project.path(model), "first": project.path(first), "rows": project.path("data/micro-rows")}
    recipe = {"sampling": SAMPLING, "split": "train"}
    return Job("evals/x/drift", recipe, inputs, {}, {}, {"processes": 1, "gpus": 0}, work)


def test_a_model_has_not_moved_from_itself(micro_built, tmp_path):
    found = drift.evaluate(job_of(micro_built, SFT, SFT, tmp_path))
    assert all(point.value == 0 for point in found.points if point.figure != "tokens")
    assert len(found.samples) == 2 * found.counts["prompts"] == 64


def test_what_a_training_has_moved_is_what_one_works_out_by_hand(micro_built, tmp_path):
    text.open_model.cache_clear()
    found = drift.evaluate(job_of(micro_built, DPO, SFT, tmp_path))
    samples = found.samples
    figures = {name: said["value"] for name, said in points.figures(points.table(found.points)).items()}
    assert text.open_model.cache_info().currsize == 1, "the model is opened once, to answer and to be measured"
    ours, theirs = (AutoModelForCausalLM.from_pretrained(micro_built.path(model)) for model in (DPO, SFT))
    engine = Engine(micro_built.path(DPO), "cpu")
    for row in samples[:5]:
        asked = prompt_ids(engine.tokenizer, row["prompt"])
        key = key_of(SAMPLING["seed"], row["prompt_id"], row["sample"])
        (said,) = engine.draw([asked], [key], SAMPLING)
        ids = asked + said[: row["tokens"]]
        p, q = (model(torch.tensor([ids])).logits[0, len(asked) - 1 : -1].softmax(-1) for model in (ours, theirs))
        assert row["kl"] == pytest.approx((p * (p / q).log()).sum().item(), abs=1e-4)
    assert figures["kl"] == pytest.approx(sum(row["kl"] for row in samples) / len(samples))
    assert figures["kl"] > 0
    tokens = sum(row["tokens"] for row in samples)
    assert figures["kl_per_token"] == pytest.approx(figures["kl"] * len(samples) / tokens)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_a_divergence_is_never_negative_and_nothing_of_equals(ours, theirs):
    found = drift.divergence(torch.tensor([ours]), torch.tensor([theirs]))
    assert found >= -1e-12
    assert math.isclose(drift.divergence(torch.tensor([ours]), torch.tensor([ours])), 0, abs_tol=1e-12)


def test_a_policy_of_other_tokens_is_refused(micro_built, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(micro_built.path(SFT))
    model.resize_token_embeddings(model.config.vocab_size + 8)
    model.save_pretrained(tmp_path / "wider")
    job = job_of(micro_built, SFT, SFT, tmp_path)
    job.inputs["first"] = tmp_path / "wider"
    with pytest.raises(Refusal, match="not one policy's"):
        drift.evaluate(job)


SUITE = """\
evals:
  moved: {models: [micro-dpo], drift_from: micro-sft, prompts: micro-rows, split: train, sampling: {max_new_tokens: 8}}
"""


def test_drift_is_a_target_and_stands_on_the_models_page(built):
    page = built.path("config/recipes/micro.yaml")
    page.write_text(page.read_text() + SUITE)
    built.make("reports/micro-dpo.html")
    figures = built.path("evals/micro-dpo/moved/figures.json").read_text()
    assert '"kl"' in figures
    assert "nats an answer from the first policy" in built.path("reports/micro-dpo.html").read_text()
    assert len(rows.read(built.path("evals/micro-dpo/moved/samples.parquet"))) == 32
