"""The laws on the long chain: stages of every kind, each made of what models before it said."""

import re
import shutil
from collections import Counter

import interruptions
import pytest

from chain import CHAIN, ENDS
from conftest import checkout

NOTHING = "Nothing to be done"
BEST, PAIRS = "data/chain-best", "preferences/chain-pairs"
DPO, SPELLING = "models/chain-dpo", "evals/chain-dpo/spelling"
# What follows from what: each list is what must be made again when its first is made otherwise.
TUNED = [DPO, SPELLING]
PAIRED = [PAIRS, "tokens", "reference", *TUNED, "models/chain-orpo"]
JUDGED_AGAIN = ["scores/chain-rs-tries", *PAIRED]
REWARDED = ["models/chain-reward", "evals/chain-reward/judged", *JUDGED_AGAIN]
TRIED_AGAIN = ["shards", "completions/chain-rs-tries", *JUDGED_AGAIN]
CHOSEN = [BEST, "tokens", "models/chain-rs", *TRIED_AGAIN]
TRIED = ["shards", "completions/chain-tries", "scores/chain-tries", "preferences/chain-judged", "tokens"]
TRIED += [*REWARDED[:2], *CHOSEN]
SHOWN = ["models/chain-sft", "evals/chain-sft/spelling", *TRIED]
READ = ["models/chain-cpt", "evals/chain-cpt/words", *SHOWN]


def named(planned: dict[str, str]) -> Counter:
    """The targets of a plan; tokens and references are named by what they are, shards by how many there are."""
    return Counter(re.sub(r"^(tokens|reference|shards)/.*", r"\1", target) for target in planned)


FREE = {
    "a comment": ("# Chain: ", "# The chain: "),
    "key order": ("{n: 8, temperature: 0.7,", "{temperature: 0.7, n: 8,"),
    "a number's spelling": ("learning_rate: 1e-3", "learning_rate: 0.0010"),
    "shards": ("shards: 1", "shards: 3"),
    "GPUs and hours": ("save_steps: 1, logging_steps: 1}", "gpus: 8, launch: ddp, hours: 9}"),
}


@pytest.mark.parametrize(("old", "new"), FREE.values(), ids=FREE)
def test_what_changes_no_artifact_costs_nothing(chain, old, new):
    chain.edit(old, new)
    assert NOTHING in chain.make("-n", *ENDS)[0]


EDITS = {
    "dpo's beta": ("sft], beta: 0.1", "sft], beta: 0.2", TUNED),
    "orpo's beta": ("train: {beta: 0.1", "train: {beta: 0.2", ["models/chain-orpo"]),
    "the margin of pairs": ("{scores: chain-rs-tries,", "{scores: chain-rs-tries, min_margin: 0.1,", PAIRED),
    "reward's learning_rate": (
        "chain-judged\n    train: {learning_rate: 1e-2", "chain-judged\n    train: {learning_rate: 2e-2", REWARDED
    ),
    "the second draw": ("    model: chain-rs\n", "    model: chain-rs\n    sampling: {seed: 2}\n", TRIED_AGAIN),
    "both draws": ("block_size: 32, seed: 1", "block_size: 32, seed: 2", TRIED),
    "the least score": ("select: best_of_n", "select: best_of_n, min_score: 0.1", CHOSEN),
    "sft's epochs": ("num_train_epochs: 1", "num_train_epochs: 2", SHOWN),
    "cpt's length": ("max_length: 32, bf16", "max_length: 24, bf16", ["tokens", *READ]),
    "the suite's draw": ("sampling: {n: 2", "sampling: {n: 3", [SPELLING, "evals/chain-sft/spelling"]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "cost"), EDITS.values(), ids=EDITS)
def test_an_edit_costs_what_follows_and_no_more(chain, old, new, cost):
    chain.edit(old, new)
    planned = chain.planned(*ENDS)
    assert named(planned) == Counter(cost)
    assert "restore" not in planned.values(), "nothing of the kind was ever made"


def test_an_edit_taken_back_costs_nothing(chain, chain_built):
    before = len(chain.started())
    chain.edit("sft], beta: 0.1", "sft], beta: 0.2")
    chain.make(*ENDS)
    assert chain.started()[before:] == TUNED
    assert chain.content(DPO) != chain_built.content(DPO)
    chain.edit("sft], beta: 0.2", "sft], beta: 0.1")
    assert chain.planned(*ENDS, DPO) == dict.fromkeys(TUNED, "restore")
    chain.make(*ENDS, DPO)
    assert chain.started()[before:] == TUNED
    assert chain.made() == chain_built.made()
    assert NOTHING in chain.make("-n", *ENDS)[0]


def test_what_was_deleted_is_restored_from_the_store(chain, chain_built):
    before, made = len(chain.started()), chain_built.standing()
    for kind in {path.split("/")[0] for path in made}:
        shutil.rmtree(chain.path(kind))
    assert chain.planned(*ENDS) == dict.fromkeys(ENDS, "restore"), "what they are made of is not needed"
    assert chain.planned(*made) == dict.fromkeys(made, "restore")
    chain.make(*ENDS)
    assert chain.started()[before:] == []
    assert {end: chain.manifest(end) for end in ENDS} == {end: chain_built.manifest(end) for end in ENDS}
    assert chain.made().items() <= chain_built.made().items()


def test_what_is_made_again_to_the_same_bytes_is_the_end_of_it(chain, chain_built):
    before = len(chain.started())
    chain.forget(BEST)
    chain.make(*ENDS, BEST)
    assert chain.started()[before:] == [BEST]
    assert chain.made() == chain_built.made()


def test_another_recipe_of_the_same_bytes_is_the_end_of_it(chain, chain_built):
    before = len(chain.started())
    chain.edit("select: best_of_n", "select: best_of_n, min_score: 0")  # no score is below it
    chain.make(*ENDS)
    assert chain.started()[before:] == [BEST]
    assert chain.manifest(BEST)["key"] != chain_built.manifest(BEST)["key"]
    assert NOTHING in chain.make("-n", *ENDS)[0]


def test_a_build_killed_on_its_way_elsewhere_is_equal_to_the_byte(chain_built, tmp_path):
    """In another folder, with other cores and shards, and twice killed; `make prove` kills ten times."""
    elsewhere = checkout(tmp_path / "another name" / "and deeper", CHAIN)
    elsewhere.edit("shards: 1", "shards: 2")
    kills = list(interruptions.build(elsewhere, "-c3", *ENDS, kills=2, seed=0, like=chain_built))
    assert len(kills) == 2
    one, two = (
        {name: made for name, made in project.made().items() if not name.startswith("shards/")}
        for project in (chain_built, elsewhere)
    )
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} == set(), kills
    kinds = {name.split("/")[0] for name in one}
    named = {"data", "completions", "scores", "preferences", "models", "evals"}
    assert kinds == named | {"tokenizers", "tokens", "reference"}


def test_a_run_record_tells_two_builds_apart(chain_built):
    """What is left out above is there, beside the artifact: never in it, nor in its manifest."""
    record = chain_built.manifest(f"{DPO}.run")
    assert record["finished"]
    assert record["hardware"]["host"]
    assert not {"finished", "hardware", "versions"} & chain_built.manifest(DPO).keys()
