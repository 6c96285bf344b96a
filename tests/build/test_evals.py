"""Figures of models: what they say is what the samples beside them say."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from conftest import PAGE, SFT, WORDS, Project, write_lines
from posttrain.build.job import Job
from posttrain.build.pool import BATCH
from posttrain.data import rows
from posttrain.data.ledger import Ledger
from posttrain.data.tokens import reward_tokens
from posttrain.evaluate import answers, pairs, points, text
from posttrain.evaluate.points import Measured
from posttrain.files import Refusal, write_json
from posttrain.sample import prompts
from posttrain.score import reward

SPELLING, BITS, WINS = "evals/micro-sft/spelling", "evals/micro-sft/bits", "evals/micro-reward/wins"
USER, ASSISTANT, SIDES = {"role": "user"}, {"role": "assistant"}, ("chosen", "rejected")
TEXTS = ["an ant", "a bee, and one more bee", "Käfer", "x" * 70]
TEXTS += [f"{a} and {b}" for a in WORDS[:6] for b in WORDS[:6]]  # more than one batch
EVALS = """\
evals:
  spelling:
    models: [micro-sft, micro-dpo]
    prompts: micro-rows
    split: train
    verifier: exact_match
    sampling: {n: 4, max_new_tokens: 12, block_size: 32, seed: 3}
    runtime: {processes: 1}
  bits: {models: [micro-sft], text: micro-text, split: train, max_length: 20, runtime: {processes: 1}}
  wins: {models: [micro-reward], pairs: micro-pairs, split: train, max_length: 48, runtime: {processes: 1}}
"""
REWARD = """\
  micro-reward:
    method: reward
    base: micro-sft
    preferences: micro-pairs
    train: {learning_rate: 1e-2, batch_size: 8, max_length: 48, bf16: false, seed: 1}
"""


JUDGED = """\
completions:
  judged: {model: micro-sft, prompts: micro-rows, sampling: {n: 4, temperature: 0.3, max_new_tokens: 16}}
scores:
  judged: {completions: judged, reward_model: micro-reward, max_length: 64}
"""


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which each kind of evaluation was made."""
    project = micro_built.copy(tmp_path_factory.mktemp("evals") / "p")
    write_lines(project.path("texts.jsonl"), [{"text": said} for said in TEXTS])
    project.edit("data:\n", "data:\n  micro-text: {sources: [{path: texts.jsonl}]}\n")
    project.add(REWARD + EVALS)
    project.make(SPELLING, BITS, WINS)
    return project


@pytest.fixture
def evaluated(once: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return once.copy(tmp_path / "p")


def figures(project: Project, target: str) -> dict:
    said = json.loads((project.path(target) / "figures.json").read_text())
    return said["counts"] | {name: figure["value"] for name, figure in said["figures"].items()}


def values(found: Measured) -> dict:
    """The counts and figures of what an evaluation found."""
    said = points.figures(points.table(found.points))
    return found.counts | {name: figure["value"] for name, figure in said.items()}


def samples(project: Project, target: str) -> pd.DataFrame:
    return pd.read_parquet(project.path(target) / "samples.parquet")


def test_accuracy_is_that_of_the_samples(once):
    said, found = figures(once, SPELLING), samples(once, SPELLING)
    right = found.completion.str.strip() == found.reference.str.strip()
    assert ((found.score == 1) == right).all()
    assert said["prompts"] == 32
    assert said["accuracy"] == right[found.how == "greedy"].mean()
    assert said["sampled_accuracy"] == said["pass@1"] == right[found.how == "sampled"].mean()
    assert said["pass@4"] == right[found.how == "sampled"].groupby(found.prompt_id).any().mean()
    assert said["finished"] == found.finished.mean()


def test_jobs_that_share_an_evaluation_make_what_one_makes(evaluated):
    before = evaluated.manifest(SPELLING)["files"]
    evaluated.edit("    runtime: {processes: 1}\n", "    runtime: {shards: 3}\n")
    assert evaluated.planned(SPELLING) == {}
    evaluated.forget(SPELLING)
    evaluated.make(SPELLING)
    assert evaluated.manifest(SPELLING)["files"] == before
    parts = [evaluated.path(f"shards/micro-sft/spelling.{i}of3/answers.json") for i in (1, 2, 3)]
    said = [len(json.loads(part.read_text())["answers"]) for part in parts]
    assert sum(said) == 32 + 32 * 4
    assert all(said)
    took = [evaluated.manifest(f"shards/micro-sft/spelling.{i}of3.run")["seconds"] for i in (1, 2, 3)]
    assert evaluated.manifest(f"{SPELLING}.run")["metrics"]["shard_seconds"] == sum(took) > 0


def answered(project: Project, work: Path, n: int, says: Callable, **verifier: object) -> Job:
    """An evaluation whose answers are there, as a killed job left them.

    Args:
        says: the answer to a prompt, and whether it came to its end; by the sample's number, None of the greedy one.
    """
    sampling = {"n": n, "max_new_tokens": 12, "block_size": 128}
    inputs = {"model": project.path(SFT), "rows": project.path("data/micro-rows")}
    recipe = {"split": "train", "sampling": sampling, "args": {}, **verifier}
    job = Job(SPELLING, recipe, inputs, {}, {}, {"processes": 1, "gpus": 0}, work)
    for how, samples in (("greedy", [None]), ("sampled", list(range(n)))):
        made = []
        for prompt, sample in itertools.product(prompts.read(inputs["rows"] / "train.parquet"), samples):
            said = {"prompt_id": prompt.number, "sample": sample or 0, "prompt": prompt.turns, "tokens": 3}
            text, finished = says(prompt, sample)
            made.append(said | {"reference": prompt.reference, "completion": text, "finished": finished})
        write_json(job.kept / how / "0.json", {"made": made})
    return job


def test_the_figures_of_answers_of_which_some_are_right(micro_built, tmp_path):
    """Of the first four prompts 1, 2, 3 and all 4 samples are right."""

    def says(prompt: prompts.Prompt, sample: int | None) -> tuple[str, bool]:
        right = prompt.number % 4 == 0 if sample is None else sample <= prompt.number < 4
        return f" {prompt.reference}" if right else "wrong", right

    found = answers.evaluate(answered(micro_built, tmp_path, 4, says, verifier="exact_match"))
    assert values(found) == {
        "prompts": 32,
        "left_out": 0,
        "accuracy": 8 / 32,
        "sampled_accuracy": (1 + 2 + 3 + 4) / 128,
        "pass@1": pytest.approx((1 + 2 + 3 + 4) / 128),
        "pass@2": pytest.approx((1 / 2 + 5 / 6 + 1 + 1) / 32),
        "pass@4": 4 / 32,
        "finished": (8 + 10) / 160,
    }
    assert len(found.samples) == 160 and all(row["score"] == row["finished"] for row in found.samples)


def test_an_answer_that_the_verifier_does_not_get_to_the_end_of_is_not_right_and_is_counted(micro_built, tmp_path):
    pattern = {"verifier": "regex", "args": {"pattern": r"(a+)+$"}, "time_limit": 0.5}
    job = answered(
        micro_built, tmp_path, 1, lambda prompt, _: ("a" if prompt.number else "a" * 40 + "b", True), **pattern
    )
    found = answers.evaluate(job)
    assert found.counts["unverified"] == 2, "greedily, and sampled"
    said = values(found)
    assert said["accuracy"] == said["pass@1"] == 31 / 32
    assert [row["score"] for row in found.samples] == [0.0, *[1.0] * 31] * 2


def test_a_prompt_without_an_answer_to_compare_with_is_named(micro_built, tmp_path):
    said = [
        {"messages": [USER | {"content": "a"}, ASSISTANT | {"content": "b"}]},
        {"messages": [USER | {"content": "a"}]},
    ]
    rows.write(said, rows.MESSAGES, tmp_path / "test.parquet")
    for tokens, why in ((8, r"row 2: ends in no answer, .* \(1 of 2 do not\)"), (64, "no prompt leaves room for 64")):
        recipe = {"split": "test", "sampling": {"max_new_tokens": tokens}, "verifier": "exact_match"}
        with pytest.raises(Refusal, match=why):
            answers.evaluate(Job("", recipe, {"model": micro_built.path(SFT), "rows": tmp_path}, {}, {}, {}, tmp_path))


def test_pass_at_k_is_the_share_of_k_samples_that_hold_a_right_one():
    for n, right in itertools.product(range(1, 7), range(7)):
        for k in range(1, n + 1):
            drawn = list(itertools.combinations([i < right for i in range(n)], k))
            if right <= n:
                assert math.isclose(answers.pass_at(n, right, k), sum(map(any, drawn)) / len(drawn), abs_tol=1e-12)


def test_bits_per_byte_are_those_of_each_text_read_alone(once):
    tokenizer = AutoTokenizer.from_pretrained(once.path(SFT))
    model = AutoModelForCausalLM.from_pretrained(once.path(SFT)).eval()
    expected = []
    for said in TEXTS:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(said, add_special_tokens=False)]])
        nats = 0.0
        for start in range(0, ids.shape[1] - 1, 20):
            piece = ids[:, start : start + 21]
            with torch.no_grad():
                nats += model(piece, labels=piece).loss.item() * (piece.shape[1] - 1)
        expected.append(nats / math.log(2))
    sizes = [len(said.encode()) for said in TEXTS]
    found = samples(once, BITS)
    assert found.bits_per_byte.tolist() == pytest.approx(
        [b / n for b, n in zip(expected, sizes, strict=True)], rel=1e-4
    )
    assert figures(once, BITS) == {
        "texts": len(TEXTS),
        "bytes": sum(sizes),
        "tokens": sum(sizes),  # each is a byte
        "bits_per_byte": pytest.approx(sum(expected) / sum(sizes), rel=1e-4),
        "perplexity": pytest.approx(2 ** (sum(expected) / sum(sizes)), rel=1e-3),
    }
    assert found.perplexity.tolist() == pytest.approx((2**found.bits_per_byte).tolist())


def test_padding_and_neighbours_surprise_nobody(once):
    folder = once.path(SFT)
    (alone,) = text.surprise([([1], [70, 71])], folder, "cpu")
    together = text.surprise([([1], [70, 71]), ([1, 80], [81, 82, 83])], folder, "cpu")
    assert together[0] == pytest.approx(alone, rel=1e-5)


def test_a_reward_models_wins_are_those_of_its_scores(once):
    folder = once.path("models/micro-reward")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = pd.read_parquet(once.path("preferences/micro-pairs/train.parquet"))
    found, said = samples(once, WINS), figures(once, WINS)
    for (_, pair), (_, row) in zip(pairs.iterrows(), found.iterrows(), strict=True):
        for side in ("chosen", "rejected"):
            turns = [*pair.prompt, *pair[side]]
            ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"][:, :48]
            with torch.no_grad():
                assert row[side] == pytest.approx(model(ids).logits.item(), abs=1e-4)
    assert said["accuracy"] == ((found.chosen > found.rejected) + (found.chosen == found.rejected) / 2).mean()
    assert said["margin"] == pytest.approx((found.chosen - found.rejected).mean())
    assert said["accuracy"] > 0.5, "four steps teach it something"


def test_pairs_are_read_as_a_training_reads_them(once, tmp_path):
    """With what a row tells the template."""
    folder = shutil.copytree(once.path("models/micro-reward"), tmp_path / "model")
    template = folder / "chat_template.jinja"
    said = template.read_text()
    template.unlink()
    template.write_text(said + "{{ more }}")
    pair, *_ = rows.read(once.path("preferences/micro-pairs/train.parquet"))
    told = [pair | {"chat_template_kwargs": said} for said in ("{}", '{"more": "so"}')]
    rows.write(told, rows.schema_of(told[0]), tmp_path / "train.parquet")
    recipe, inputs = {"split": "train", "max_length": 48}, {"model": folder, "rows": tmp_path}
    made = pairs.evaluate(Job(WINS, recipe, inputs, {}, {}, {"processes": 1, "gpus": 0}, tmp_path)).samples
    for row, found in zip(told, made, strict=True):
        ids = reward_tokens(row, AutoTokenizer.from_pretrained(folder), recipe, Ledger("rows"))
        for side in SIDES:
            assert found[side] == pytest.approx(reward.score([ids[f"{side}_ids"]], folder, "cpu")[0], abs=1e-5)
    assert made[0]["chosen"] != made[1]["chosen"]


def test_a_reward_models_scores_are_its_logits_and_what_is_chosen_goes_by_them(evaluated):
    evaluated.edit("preferences:\n", "preferences:\n  judged: {scores: judged, select: best_vs_worst}\n")
    evaluated.add(JUDGED)
    evaluated.make("preferences/judged")
    made = pd.DataFrame(rows.read(evaluated.path("completions/judged/completions.parquet")))
    scores = pd.DataFrame(rows.read(evaluated.path("scores/judged/scores.parquet")))
    tokenizer = AutoTokenizer.from_pretrained(evaluated.path("models/micro-reward"))
    model = AutoModelForSequenceClassification.from_pretrained(evaluated.path("models/micro-reward")).eval()
    assert len(made) == 128 > BATCH
    assert scores[["prompt_id", "sample"]].equals(made[["prompt_id", "sample"]])
    for row, score in zip(made.itertuples(), scores.score, strict=True):
        turns = [*row.prompt, {"role": "assistant", "content": row.completion}]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            assert score == pytest.approx(model(ids).logits.item(), abs=1e-4)
    made["score"] = scores.score
    whole = made[made.finished & (made.completion.str.strip() != "")]
    several = [found for _, found in whole.groupby("prompt_id") if found.completion.str.strip().nunique() > 1]
    picked = rows.read(evaluated.path("preferences/judged/train.parquet"))
    assert picked
    for pair, found in zip(picked, several, strict=True):
        assert pair["prompt"] == found.prompt.iloc[0]
        assert pair["chosen"][0]["content"] in set(found[found.score == found.score.max()].completion)
        assert pair["rejected"][0]["content"] in set(found[found.score == found.score.min()].completion)


def test_what_a_reward_model_cannot_read_whole_has_no_score(once, tmp_path):
    """The template's marks and the end are 3 tokens; the model has 64 places."""
    said = [[USER | {"content": "a" * asked}, ASSISTANT | {"content": "b"}] for asked in (6, 7, 1, 99)]
    for max_length, read in ((10, [True, False, True, False]), (1000, [True, True, True, False])):
        job = Job(WINS, {"max_length": max_length}, {}, {}, {}, {"processes": 1, "gpus": 0}, tmp_path / str(max_length))
        scores = reward.score_all(job, once.path("models/micro-reward"), said)
        assert [score is not None for score in scores] == read


def test_pairs_that_cannot_be_read_whole_are_left_out_of_the_figures(evaluated):
    pairs = rows.read(evaluated.path("preferences/micro-pairs/train.parquet"))
    texts = [["".join(turn["content"] for turn in pair["prompt"] + pair[side]) for side in SIDES] for pair in pairs]
    lengths = [3 + max(map(len, both)) for both in texts]  # the template's marks and the end
    evaluated.edit("split: train, max_length: 48", "split: train, max_length: 16")
    evaluated.make(WINS)
    found = figures(evaluated, WINS)
    assert 0 < found["left_out"] == sum(length > 16 for length in lengths) < len(pairs)
    assert found["pairs"] + found["left_out"] == len(pairs)


def test_single_completions_are_no_pairs(tmp_path):
    row = {"prompt": [USER | {"content": "a"}], "completion": [ASSISTANT | {"content": "b"}], "label": True}
    rows.write([row], rows.UNPAIRED, tmp_path / "test.parquet")
    with pytest.raises(Refusal, match="its rows are single completions with a `label`"):
        pairs.evaluate(Job(WINS, {"split": "test"}, {"rows": tmp_path}, {}, {}, {}, tmp_path))


def test_a_model_of_broken_numbers_has_no_figures(evaluated, tmp_path):
    shutil.copytree(evaluated.path(SFT), tmp_path / "broken")
    path = tmp_path / "broken/model.safetensors"
    weights = {name: tensor * math.nan for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(weights, path, {"format": "pt"})
    page = evaluated.path(PAGE)
    page.write_text(page.read_text() + f"use:\n  models/micro-sft: {tmp_path}/broken\n")
    assert "bits_per_byte is nan; the model's numbers are broken" in evaluated.make(BITS, rc=1)[0]


@pytest.mark.parametrize("target", [SPELLING, WINS])  # what is in blocks, and what is in batches
def test_processes_change_no_byte_of_a_figure(evaluated, target):
    """Each is of several blocks or batches."""
    assert 2 * len(rows.read(evaluated.path("preferences/micro-pairs/train.parquet"))) > BATCH
    content = evaluated.content(target)
    evaluated.edit("runtime: {processes: 1}", "runtime: {processes: 2}")
    evaluated.forget(target)
    evaluated.make(target)
    assert evaluated.manifest(f"{target}.run")["launch"]["processes"] == 2
    assert evaluated.content(target) == content


def leave(project: Project, target: str, name: str, number: int, made: list) -> None:
    """What a job that was killed had finished of a target."""
    key = project.manifest(target)["key"]
    write_json(project.path(f"work/{target}.{key}/kept/{name}/{number}.json"), {"made": made})


def test_a_killed_evaluation_goes_on_after_its_last_block(evaluated):
    """Blocks of eight prompts, sampled four times; the greedy answers are one block, and kept apart."""
    found = samples(evaluated, SPELLING)
    drawn = json.loads(found.drop(columns=["how", "score"]).to_json(orient="records"))
    for how, number, block in (("greedy", 0, drawn[:32]), ("sampled", 1, drawn[64:96])):
        leave(evaluated, SPELLING, how, number, [row | {"completion": f"{how} before"} for row in block])
    evaluated.forget(SPELLING)
    evaluated.make(SPELLING)
    again = samples(evaluated, SPELLING)
    assert set(again.completion[:32]) == {"greedy before"}
    assert set(again.completion[64:96]) == {"sampled before"}
    rest = [*range(32, 64), *range(96, 160)]
    assert again.completion[rest].tolist() == found.completion[rest].tolist()


def test_a_killed_measurement_goes_on_after_its_last_batch(evaluated):
    """64 conversations, in two batches; the longest come first."""
    found = samples(evaluated, WINS)
    leave(evaluated, WINS, "batches", 0, [100.0] * 32)
    evaluated.forget(WINS)
    evaluated.make(WINS)
    again = samples(evaluated, WINS)
    before, after = ([*said.chosen, *said.rejected] for said in (found, again))
    kept = [i for i, score in enumerate(after) if score == 100]
    assert len(kept) == 32
    assert [after[i] for i in range(64) if i not in kept] == [before[i] for i in range(64) if i not in kept]


def test_a_models_figures_follow_the_model(evaluated):
    evaluated.edit("beta: 0.1,", "beta: 0.2,")
    assert "Nothing to be done" in evaluated.make("-n", SPELLING)[0], "another model's beta is no matter"
    evaluated.edit("num_train_epochs: 1,", "num_train_epochs: 2,")
    assert "rule evaluate_model:" in evaluated.make("-n", SPELLING)[0]
