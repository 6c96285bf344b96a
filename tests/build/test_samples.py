"""Completions, their scores, and the rows chosen from them."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import SFT, Project
from posttrain.build.job import Job
from posttrain.build.pool import batches, each_once
from posttrain.checkpoints import open_chat_tokenizer
from posttrain.data import rows
from posttrain.data import tokenizer as tokenizers
from posttrain.files import Refusal, write_json
from posttrain.sample.blocks import blocks
from posttrain.sample.completions import complete, key_of
from posttrain.sample.engines import transformers as engines
from posttrain.sample.engines.transformers import Draw, Engine, processors
from posttrain.sample.prompts import Prompt, fitting, read
from posttrain.score.verifiers import reasoning

SHARD, TRIES, SCORED, BEST, PICKED = (
    "shards/tries.1of1",
    "completions/tries",
    "scores/tries",
    "data/best",
    "preferences/picked",
)
SAMPLING = {"n": 3, "temperature": 1, "top_k": 0, "top_p": 1, "max_new_tokens": 12, "seed": 1, "block_size": 16}
SECTIONS = """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {n: 3, max_new_tokens: 12, block_size: 16, seed: 1}
    runtime: {shards: 1}
scores:
  tries: {completions: tries, verifier: reasoning_gym, args: {task: spell_backward}}
"""


def with_samples(project: Project) -> Project:
    project.edit("data:\n", "data:\n  best: {scores: tries, select: best_of_n}\n")
    project.edit("preferences:\n", "preferences:\n  picked: {scores: tries, select: best_vs_worst}\n")
    project.add(SECTIONS)
    return project


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which completions were drawn, scored, and the best of them kept."""
    project = with_samples(micro_built.copy(tmp_path_factory.mktemp("samples") / "p"))
    project.make(BEST)
    return project


@pytest.fixture
def sampled(once: Project, tmp_path: Path) -> Project:
    return once.copy(tmp_path / "p")


def table(project: Project, target: str) -> list[dict]:
    return rows.read(next(project.path(target).glob("*.parquet")))


# Blocks and shards


@given(st.integers(0, 300), st.integers(1, 40), st.integers(2, 70))
def test_every_prompt_is_in_one_block(prompts, n, block_size):
    cuts = blocks(prompts, n, block_size)
    assert [number for cut in cuts for number in cut] == list(range(prompts))
    assert all(len(cut) * n <= block_size + 1 or len(cut) == 1 for cut in cuts)
    assert all(len(cut) * n > 1 for cut in cuts) or prompts * n == 1, "a sequence was to be generated alone"


@given(st.lists(st.integers(1, 500), max_size=200))
def test_every_conversation_is_in_one_batch_with_those_of_its_length(lengths):
    made = batches(lengths)
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    assert [lengths[i] for batch in made for i in batch] == sorted(lengths, reverse=True)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_finished_before_a_kill_is_not_made_again(tmp_path, processes):
    job = Job(TRIES, {}, {}, {}, {}, {"processes": processes}, tmp_path)
    assert list(each_once(job, "lengths", len, [[], [1], [1, 1]])) == [0, 1, 2]
    write_json(job.kept / "lengths/0.json", {"made": "from before"})
    (job.kept / "lengths/1.json").write_text('{"made": 7')  # a disk lost the rest of it
    assert list(each_once(job, "lengths", len, [[], [1], [1, 1], [1, 1, 1]])) == ["from before", 1, 2, 3]
    assert list(each_once(job, "others", len, [[1]])) == [1]


def test_every_prompt_is_answered_n_times(once):
    made = table(once, TRIES)
    asked = [row["messages"][:-1] for row in table(once, "data/micro-rows")]
    assert [(row["prompt_id"], row["sample"]) for row in made] == [(i, j) for i in range(len(asked)) for j in range(3)]
    assert [row["prompt"] for row in made] == [asked[row["prompt_id"]] for row in made]
    answers = [row["messages"][-1]["content"] for row in table(once, "data/micro-rows")]
    assert [row["reference"] for row in made] == [answers[row["prompt_id"]] for row in made]


def test_the_number_of_shards_changes_no_byte_and_costs_nothing(sampled):
    sampled.edit("runtime: {shards: 1}", "runtime: {shards: 3}")
    before = len(sampled.started())
    sampled.make(BEST)
    assert sampled.started()[before:] == []
    content = sampled.content(TRIES)
    sampled.forget(TRIES)
    sampled.make(TRIES)
    shards = [f"shards/tries.{i}of3" for i in (1, 2, 3)]
    assert sorted(sampled.started()[before:]) == [TRIES, *shards]
    assert sampled.content(TRIES) == content
    assert all(sampled.path(f"{shard}/completions.parquet").exists() for shard in shards)


def test_a_killed_job_goes_on_after_its_last_block(sampled):
    key, made = sampled.manifest(SHARD)["key"], table(sampled, SHARD)
    marked = [row | {"completion": "from before"} if row["prompt_id"] == 0 else row for row in made]
    block = [row for row in marked if row["prompt_id"] < 5]
    write_json(sampled.path(f"work/{SHARD}.{key}/kept/blocks/0.json"), {"made": block})
    sampled.forget(SHARD)
    sampled.make(SHARD)
    again = table(sampled, SHARD)
    assert {row["completion"] for row in again if row["prompt_id"] == 0} == {"from before"}
    assert [row for row in again if row["prompt_id"]] == [row for row in made if row["prompt_id"]]


@pytest.mark.parametrize(
    ("old", "new", "cost"),
    [
        ("seed: 1}\n    runtime: {shards", "seed: 2}\n    runtime: {shards", [TRIES, SCORED, BEST]),
        ("n: 3", "n: 2", [TRIES, SCORED, BEST]),
        ("verifier: reasoning_gym, args: {task: spell_backward}", "verifier: exact_match", [SCORED, BEST]),
        ("select: best_of_n", "select: best_of_n, min_score: 0.01", [BEST]),
    ],
    ids=["seed", "n", "verifier", "threshold"],
)
def test_an_edit_rebuilds_what_follows_and_no_more(sampled, old, new, cost):
    sampled.edit(old, new)
    output = sampled.make("-n", BEST)[0]
    planned = re.findall(r"^\s*(?:local)?rule (\w+):$", output, re.MULTILINE)
    stages = {SHARD: "sample_shard", TRIES: "gather_completions", SCORED: "score_completions", BEST: "select_data"}
    cost = [SHARD, *cost] if TRIES in cost else cost
    assert sorted(planned) == sorted(stages[target] for target in cost)


def test_what_is_no_prompt_is_refused(tmp_path, micro_built):
    said = {"role": "assistant", "content": "a"}
    rows.write([{"messages": [said]}], rows.MESSAGES, tmp_path / "train.parquet")
    with pytest.raises(Refusal, match="row 1: has an answer and no prompt"):
        read(tmp_path / "train.parquet")
    told = {"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": '{"think": true}'}
    rows.write([told | {"chat_template_kwargs": "{}"}, told], rows.schema_of(told), tmp_path / "train.parquet")
    with pytest.raises(Refusal, match="row 2: its chat_template_kwargs tell a template think, "):
        read(tmp_path / "train.parquet")
    AutoTokenizer.from_pretrained(micro_built.path(SFT)).save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(Refusal, match="has no chat template"):
        fitting([prompts("ant")], tmp_path, 12)


def test_a_prompt_that_leaves_no_room_is_left_out(micro_built):
    """The model has 64 places."""
    asked = prompts("ant", "a" * 60, "bee", "b" * 60)
    found, ledger = fitting([asked[:3], asked[3:]], micro_built.path(SFT), 40)
    assert (ledger.read, ledger.kept) == (4, 2)
    assert [[prompt.number for prompt in block] for block in found] == [[0, 2]]


# Draws


@pytest.fixture(scope="module")
def engine(micro_built: Project) -> Engine:
    return Engine(micro_built.path(SFT), "cpu")


def prompts(*words: str) -> list[Prompt]:
    return [Prompt(i, [{"role": "user", "content": word}], None) for i, word in enumerate(words)]


def test_a_draw_is_exact():
    """The draws of a token have the frequencies of the softmax (chi-square, 30 degrees of freedom, p = 1e-4)."""
    logits = torch.randn(31, generator=torch.Generator().manual_seed(0))
    draws = 20_000
    draw = Draw([key_of(5, i, 0) for i in range(draws)], 0)
    found = Counter(draw(torch.zeros(draws, 0), logits.expand(draws, -1)).argmax(-1).tolist())
    expected = draws * torch.softmax(logits, -1).numpy()
    assert sum((found[i] - expected[i]) ** 2 / expected[i] for i in range(31)) < 66.6


def test_the_draws_of_one_sequence_are_independent():
    """Of neighbouring tokens, samples, prompts and seeds the numbers are others."""
    starts = [(0, 0, 0), (0, 0, 1000), (0, 1000, 0), (1000, 0, 0)]
    numbered = [[key_of(a, b, c + i) for i in range(1000)] for a, b, c in starts]
    made = [[engines.uniform(key, place) for key in keys] for keys in numbered for place in (0, 1)]
    assert np.abs(np.corrcoef(made) - np.eye(8)).max() < 0.15
    assert all(abs(np.mean(numbers) - 0.5) < 0.05 and 0 <= min(numbers) < max(numbers) < 1 for numbers in made)


def test_a_number_at_the_edge_draws_what_can_be_drawn(monkeypatch):
    """0 is the first word that has a share at all, and the largest number below 1 the last."""
    logits = torch.tensor([[-torch.inf, 3.0, -1.0, -torch.inf]])
    for number, drawn in ((0.0, 1), (1 - 2**-53, 2)):
        monkeypatch.setattr(engines, "uniform", lambda *_, number=number: number)
        assert Draw([0], 0)(torch.zeros(1, 0), logits).argmax(-1).tolist() == [drawn]


def test_a_completion_hangs_on_its_own_seed_prompt_and_number(engine):
    first = complete(prompts("ant", "bee"), engine, SAMPLING)
    assert first == complete(prompts("ant", "bee"), engine, SAMPLING)
    assert len({row["completion"] for row in first}) > 3
    other = complete([Prompt(7, said.turns, None) for said in prompts("ant", "bee")], engine, SAMPLING)
    assert [row["completion"] for row in other] != [row["completion"] for row in first]


def test_without_temperature_the_likeliest_is_taken(engine, micro_built):
    made = complete(prompts("ant", "bee", "cat"), engine, SAMPLING | {"n": 1, "temperature": 0})
    model = AutoModelForCausalLM.from_pretrained(micro_built.path(SFT))
    for row, said in zip(made, prompts("ant", "bee", "cat"), strict=True):
        ids = engine.tokenizer.apply_chat_template(
            said.turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )["input_ids"]
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert row["completion"] == engine.tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("said", [{"top_k": 2}, {"top_p": 0.3}, {"temperature": 0.01}])
def test_what_is_left_out_of_the_draw_is_never_drawn(said):
    logits = torch.tensor([[0.0, 2.0, 2.1, -1.0, 0.5]]).expand(500, -1)
    change = processors(SAMPLING | said, [key_of(0, i, 0) for i in range(500)], 0)
    drawn = set(change(torch.zeros(500, 0), logits.clone()).argmax(-1).tolist())
    assert drawn <= {1, 2}
    assert 2 in drawn


def test_no_sequence_is_generated_alone(engine, monkeypatch):
    shapes, made = [], engine.model.generate
    monkeypatch.setattr(
        engine.model, "generate", lambda **said: shapes.append(said["input_ids"].shape[0]) or made(**said)
    )
    assert len(complete(prompts("ant"), engine, SAMPLING | {"n": 1})) == 1
    assert shapes == [2]


def test_a_model_of_the_hub_may_pad_nothing_and_end_in_several_ways(tmp_path, micro_built):
    """As published: no pad token, and a generation config that ends on another token than the tokenizer's."""
    shutil.copytree(micro_built.path(SFT), tmp_path / "model")
    folder = tmp_path / "model"
    made = AutoTokenizer.from_pretrained(folder)
    made.pad_token = None
    made.save_pretrained(folder)
    said = json.loads((folder / "generation_config.json").read_text())
    letter = made.encode("a")[0]
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps(said | {"eos_token_id": letter, "pad_token_id": None}))
    theirs, asked = Engine(folder, "cpu"), prompts("ant", "a longer one")
    assert theirs.ends == {letter, made.eos_token_id}
    ours = complete(asked, Engine(micro_built.path(SFT), "cpu"), SAMPLING)
    for row, our in zip(complete(asked, theirs, SAMPLING), ours, strict=True):
        whole, found, _ = our["completion"].partition("a")
        assert row["completion"] == whole + found


def test_a_template_that_says_what_day_it_is_is_refused(tmp_path, micro_built):
    made = AutoTokenizer.from_pretrained(micro_built.path(SFT))
    made.chat_template = "{{ strftime_now('%d %b %Y') }}" + made.chat_template
    made.save_pretrained(tmp_path)
    with pytest.raises(Refusal, match="reads the clock"):
        open_chat_tokenizer(tmp_path)
    with pytest.raises(Refusal, match="reads the clock"):
        tokenizers.check(made)


def test_a_completion_says_whether_it_came_to_an_end(engine):
    end, letter = engine.tokenizer.eos_token_id, engine.tokenizer.encode("a")[0]
    assert engine.read([letter, letter, end, end]) == {"completion": "aa", "tokens": 3, "finished": True}
    assert engine.read([letter] * 4) == {"completion": "aaaa", "tokens": 4, "finished": False}


# Scores


def test_every_completion_has_its_score(once):
    made = {(row["prompt_id"], row["sample"]): row for row in table(once, TRIES)}
    scores = {(row["prompt_id"], row["sample"]): row["score"] for row in table(once, SCORED)}
    assert scores.keys() == made.keys()
    for number, row in made.items():
        assert scores[number] == reasoning.reasoning_gym(row["completion"], row["reference"], task="spell_backward")


def test_a_ledger_lies_beside_the_rows(once):
    prompts_, completions = json.loads((once.path(BEST) / "ledger.json").read_text())["entries"]
    assert (prompts_["of"], prompts_["read"], prompts_["kept"]) == ("prompts", 32, len(table(once, BEST)))
    made = table(once, TRIES)
    cut = [row for row in made if not row["finished"]]
    assert (completions["of"], completions["read"]) == ("completions", 96)
    assert completions["dropped"].get("an answer was cut at max_new_tokens", {"count": 0})["count"] == len(cut)
