"""Pictures of a build: drawn of what its page names, and the same every time."""

import re
from pathlib import Path

import pytest

from posttrain.files import Refusal
from posttrain.plan import pictures as page
from posttrain.report import pictures
from posttrain.report.naming import LISTED

PAGE = """\
loss: {title: Loss, lines: {first: [chain-cpt, loss], then: [chain-sft, loss]}}
worth: {title: Right, bars: {SFT: [chain-sft/spelling, accuracy], DPO: [chain-dpo/spelling, accuracy]}}
rewards: {title: Rewards, spread: {of: chain-rs-tries, truth: chain-tries}}
chosen: {title: Chosen, choice: {truth: chain-tries, reward: chain-rs-tries}}
chain: {title: The chain, lineage: models/chain-dpo}
"""
NAMED = {
    "loss": ["models/chain-cpt", "models/chain-sft"],
    "worth": ["evals/chain-dpo/spelling", "evals/chain-sft/spelling"],
    "rewards": ["scores/chain-rs-tries", "scores/chain-tries"],
    "chosen": ["scores/chain-rs-tries", "scores/chain-tries"],
    "chain": [],
}
SHOWN = {
    "loss": ["Loss", "first", "then", "step"],
    "worth": ["Right", "SFT", "DPO", "100%"],
    "rewards": ["Rewards", "right (", "wrong ("],
    "chosen": ["Chosen", "by lot", "reward", "by the verifier"],
    "chain": ["The chain", "models/chain-init", "dpo on chain-pairs, from chain-rs"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone with a page of pictures."""
    (tmp_path / "docs").mkdir()
    (tmp_path / page.PAGE).write_text(PAGE)
    return tmp_path


@pytest.fixture
def drawn(root, chain_built, monkeypatch):
    """Draws a picture of the chain, which is only read."""
    monkeypatch.chdir(chain_built.root)
    return lambda name: pictures.draw(page.picture(root, name), chain_built.targets())


@pytest.mark.parametrize("name", NAMED)
def test_a_picture_is_of_what_its_page_names_and_the_same_every_time(root, drawn, name):
    assert page.made_of(page.picture(root, name)) == NAMED[name]
    made = drawn(name)
    assert [word for word in SHOWN[name] if word not in made] == []
    assert drawn(name) == made


FAULTS = {
    "a picture that the page has not": ("los", "loss:", "loss:", "has no picture los. Did you mean loss"),
    "a kind that is none": ("loss", "lines:", "line:", ":1: loss.line: no such key. Did you mean lines"),
    "two kinds": ("loss", "lines:", "bars: {a: [b, c]}, lines:", "loss: is lines and bars; a picture is one of"),
    "no kind": ("chain", ", lineage: models/chain-dpo", "", ":5: chain: is nothing; a picture is one of lines, bars,"),
    "a lineage of no target": ("chain", "models/chain-dpo", "null", ":5: chain.lineage: None: input should be a valid"),
    "a spread of nothing": ("rewards", "{of: chain-rs-tries, truth: chain-tries}", "null", ":3: rewards.spread: None"),
    "no title": ("chain", "title: The chain, ", "", ":5: chain.title: is missing (what stands above it)"),
    "an entry that is empty": ("chain", "{title: The chain, lineage: models/chain-dpo}", "", ":5: chain.title: is mis"),
    "a line that is no pair": ("loss", "[chain-sft, loss]", "[chain-sft]", ":1: loss.lines.then: ['chain-sft']: list"),
    "a bar that is no pair": ("worth", "[chain-sft/spelling, accuracy]", "chain-sft", ":2: worth.bars.SFT: 'chain-sf"),
    "no lines": ("loss", "{first: [chain-cpt, loss], then: [chain-sft, loss]}", "{}", ":1: loss.lines: {}: dict"),
    "scores of no truth": ("rewards", ", truth: chain-tries}}", "}}", ":3: rewards.spread.truth: is missing (those"),
    "a choice without truth": ("chosen", "{truth: chain-tries, ", "{", ":4: chosen.choice: has no truth: the scores"),
    "a word of no trainer": ("loss", "sft, loss]", "sft, los]", "models/chain-sft has no los. Did you mean loss"),
    "a figure of no evaluation": ("worth", "accuracy]", "acuracy]", "has no acuracy. Did you mean accuracy"),
    "a lineage of nothing": ("chain", "models/chain-dpo", "models/chain-dpp", "no recipe makes models/chain-dpp. Did"),
}


@pytest.mark.parametrize(("name", "old", "new", "why"), FAULTS.values(), ids=FAULTS)
def test_what_a_picture_cannot_show_is_answered_and_not_left_out(root, drawn, chain_built, name, old, new, why):
    (root / page.PAGE).write_text(PAGE.replace(old, new))
    with pytest.raises(Refusal, match=re.escape(why)):
        page.drawn_of(chain_built.targets(), page.picture(root, name))
        drawn(name)


def test_each_kind_of_row_of_a_lineage_has_a_colour():
    assert set(pictures.TINTS) == set(LISTED)


def test_a_picture_is_drawn_again_when_its_page_or_its_lineage_says_otherwise_and_only_then(root, fresh):
    (root / "docs").rename(fresh.path("docs"))
    fresh.path(page.PAGE).write_text("sft: {title: One, lineage: models/micro-sft}\n")
    picture = "docs/pictures/sft.svg"
    fresh.make(picture)
    assert "One" in fresh.path(picture).read_text()
    fresh.path(page.PAGE).write_text("# A comment.\nsft: {lineage: models/micro-sft, title: One}\n")
    assert "Nothing to be done" in fresh.make("-n", picture)[0]
    fresh.edit("title: One", "title: Other", page.PAGE)
    fresh.make(picture)
    assert "Other" in fresh.path(picture).read_text()
    fresh.edit("beta: 0.1,", "beta: 0.2,")
    assert "Nothing to be done" in fresh.make("-n", picture)[0]
    fresh.edit("data: micro-rows", "data: micro-words")
    fresh.edit("  micro-rows:", "  micro-words:")
    fresh.make(picture)
    assert "micro-words" in fresh.path(picture).read_text()
