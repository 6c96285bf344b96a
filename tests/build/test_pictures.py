"""Pictures of a build: drawn of what its page names, and the same every time."""

import pytest

from posttrain.files import Refusal
from posttrain.plan import pictures as page
from posttrain.report import pictures

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
def drawn(chain_built, tmp_path, monkeypatch):
    """Draws a picture of the chain, which is only read."""
    monkeypatch.chdir(chain_built.root)
    monkeypatch.setattr(page, "PAGE", tmp_path / "pictures.yaml")
    page.PAGE.write_text(PAGE)
    return lambda name: pictures.draw(name, chain_built.targets())


@pytest.mark.parametrize("name", NAMED)
def test_a_picture_is_of_what_its_page_names_and_the_same_every_time(drawn, name):
    assert page.made_of(name) == NAMED[name]
    made = drawn(name)
    assert [word for word in SHOWN[name] if word not in made] == []
    assert drawn(name) == made


def test_a_picture_that_the_page_has_not_is_answered_with_the_nearest(drawn):
    with pytest.raises(Refusal, match="has no picture los. Did you mean loss"):
        page.made_of("los")
