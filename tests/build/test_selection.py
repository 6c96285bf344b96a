"""Selection: which completions are chosen by their scores, and an account of all others."""

import math
import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.data import rows
from posttrain.data.ledger import EXAMPLES, Ledger
from posttrain.score import select
from posttrain.score.tables import completions_of

PAIRS = ("best_vs_worst", "best_vs_random", "best_vs_second")


def frame(scores: list[list[float]], texts: list[list[str]], finished: list[list[bool]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"prompt_id": i, "sample": j, "prompt": [{"role": "user", "content": f"p{i}"}], "completion": text}
        | {"tokens": len(text) + 1, "finished": end, "score": score, "why": why_never(text, end, score)}
        for i, group in enumerate(zip(scores, texts, finished, strict=True))
        for j, (score, text, end) in enumerate(zip(*group, strict=True))
    )


def why_never(text: str, finished: bool, score: float) -> str | None:
    said = {"score": None if math.isnan(score) else score, "why": "longer than the reward model may read"}
    return select.why_never({"completion": text, "finished": finished}, said)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    lists = [
        [draw(st.lists(values, min_size=size, max_size=size)) for size in sizes]
        for values in (
            st.sampled_from([-1.0, 0.0, 0.5, 1.0, math.nan]),
            st.sampled_from(["a", "b", " a", "", "abc", "abd"]),
            st.booleans(),
        )
    ]
    return frame(*lists)


def shuffled(found: pd.DataFrame, seed: int) -> pd.DataFrame:
    order = list(range(len(found)))
    random.Random(seed).shuffle(order)
    return found.iloc[order].reset_index(drop=True)


THRESHOLDS, MARGINS, COUNTS = st.sampled_from([None, 0.0, 1.0]), st.sampled_from([0.0, 0.5, 2.0]), st.integers(1, 6)
PENALTIES = st.sampled_from([0, 0.1])


@settings(deadline=None, max_examples=50)
@given(frames(), THRESHOLDS, st.none() | COUNTS, st.none() | COUNTS, PENALTIES, st.integers(0, 3))
def test_the_best_are_kept_whatever_the_order(found, min_score, most, k, penalty, seed):
    found = select.penalised(found, penalty)
    made, ledger = select.best(found, min_score, most, k)
    again, same = select.best(shuffled(found, seed), min_score, most, k)
    assert (made, ledger.as_dict()) == (again, same.as_dict())
    assert made == [row for rows in kept(found, min_score, most, k) for row in rows]
    assert_accounted(found, [rows[0] for rows in kept(found, min_score, most, k) if rows], ledger)


def kept(found: pd.DataFrame, min_score: float | None, most: int | None, k: int | None) -> list[list[dict]]:
    """What is to be kept of each prompt, found in another way: completion by completion, by lists."""
    good = [row for row in usable(found).to_dict("records") if min_score is None or row["score"] >= min_score]
    order = sorted(good, key=lambda row: (-row["score"], row["prompt_id"], row["sample"]))
    ranks = [sum(other["prompt_id"] == row["prompt_id"] for other in order[:i]) for i, row in enumerate(order)]
    order = [row for row, rank in zip(order, ranks, strict=True) if most is None or rank < most][:k]
    return [
        [
            {"messages": [*row["prompt"], {"role": "assistant", "content": row["completion"]}]}
            for row in order
            if row["prompt_id"] == number
        ]
        for number in sorted(set(found.prompt_id))
    ]


@settings(deadline=None, max_examples=50)
@given(
    frames(), st.sampled_from(PAIRS), THRESHOLDS, MARGINS, st.none() | st.integers(1, 3), PENALTIES, st.integers(0, 3)
)
def test_the_chosen_beats_the_rejected_by_the_margin_whatever_the_order(
    found, how, min_score, min_margin, max_chars, penalty, seed
):
    found = select.penalised(found, penalty)
    made, ledger = select.pairs(found, how, min_score, min_margin, max_chars, seed)
    again, same = select.pairs(shuffled(found, seed), how, min_score, min_margin, max_chars, seed)
    assert (made, ledger.as_dict()) == (again, same.as_dict())
    for row in made:
        (chosen,), (rejected,) = row["chosen"], row["rejected"]
        whole = usable(found[found.prompt_id == int(row["prompt"][0]["content"][1:])])
        assert chosen["content"].strip()[:max_chars] != rejected["content"].strip()[:max_chars]
        best = whole.score.max()
        assert chosen["content"] in set(whole[whole.score == best].completion)
        worth = whole[(whole.completion == rejected["content"]) & (whole.score < best)].score
        beaten = whole[(whole.score < best) & (best - whole.score >= min_margin)].score
        wanted = {"best_vs_worst": beaten.min(), "best_vs_second": beaten.max()}
        assert wanted.get(how, worth.min()) in set(worth)
        assert min_score is None or best >= min_score
    assert_accounted(found, made, ledger)


def assert_accounted(found: pd.DataFrame, made: list[dict], ledger: Ledger) -> None:
    """Every prompt is kept or in the ledger, once."""
    said = ledger.as_dict()
    assert said["read"] == found.prompt_id.nunique()
    assert said["kept"] == len(made)
    prompts = [(row["messages"] if "messages" in row else row["prompt"])[0]["content"] for row in made]
    assert len(set(prompts)) == len(prompts)
    assert said["kept"] + sum(drop["count"] for drop in said["dropped"].values()) == said["read"]
    assert all(len(drop["examples"]) == min(drop["count"], EXAMPLES) for drop in said["dropped"].values())
    assert not {example["prompt"] for drop in said["dropped"].values() for example in drop["examples"]} & set(prompts)
    over = select.passed_over(found)
    assert (over.read, over.kept) == (len(found), len(usable(found)))


def usable(found: pd.DataFrame) -> pd.DataFrame:
    """Whole, saying something, and scored: a reward model gives no score to what it cannot read all of."""
    return found[found.finished & (found.completion.str.strip() != "") & found.score.notna()]


REASONS = {
    "no completion reaches min_score": ([[0.1, 0.2]], [["a", "b"]], [[True, True]]),
    "all completions score the same": ([[1, 1]], [["a", "b"]], [[True, True]]),
    "the best does not beat the worst by min_margin": ([[1, 0.9]], [["a", "b"]], [[True, True]]),
    "the best and the worst are the same text": ([[1, 0.5]], [["a", "a "]], [[True, True]]),
    "the best and the worst are the same text up to max_chars": ([[1, 0.5]], [["abc", "abd"]], [[True, True]]),
    "every completion is cut, empty or unscored": ([[1, 0]], [["a", " "]], [[False, True]]),
}


@pytest.mark.parametrize("why", REASONS)
def test_what_is_dropped_says_why(why):
    made, ledger = select.pairs(frame(*REASONS[why]), "best_vs_worst", 0.5, 0.2, max_chars=2)
    assert made == []
    assert list(ledger.as_dict()["dropped"]) == [why]


FIVE = ([[1.0, 0.8, 0.6, 0.4, 0.2]] * 40, [["a", "b", "c", "d", "e"]] * 40, [[True] * 5] * 40)


def rejected(how: str, **said: object) -> list[str]:
    made, _ = select.pairs(frame(*FIVE), how, None, **{"min_margin": 0, **said})
    return [row["rejected"][0]["content"] for row in made]


def test_the_best_is_set_against_the_worst_the_second_or_any():
    assert set(rejected("best_vs_worst")) == {"e"}
    assert set(rejected("best_vs_second")) == {"b"}
    assert set(rejected("best_vs_random")) == {"b", "c", "d", "e"}
    assert rejected("best_vs_random") != rejected("best_vs_random", seed=1)


def test_the_other_is_one_that_the_margin_leaves():
    assert set(rejected("best_vs_second", min_margin=0.5)) == {"d"}
    assert set(rejected("best_vs_random", min_margin=0.5)) == {"d", "e"}


def test_a_draw_hangs_on_its_own_prompt_alone():
    whole = frame(*FIVE)
    alone = whole[whole.prompt_id == 7].reset_index(drop=True)
    (row,), _ = select.pairs(alone, "best_vs_random", None, 0)
    assert row["rejected"][0]["content"] == rejected("best_vs_random")[7]


def test_the_best_of_all_may_leave_prompts_without_any():
    found = frame([[1.0, 0.9], [0.5, 0.4]], [["a", "b"], ["c", "d"]], [[True, True]] * 2)
    made, ledger = select.best(found, None, k=2)
    assert [row["messages"][1]["content"] for row in made] == ["a", "b"]
    assert list(ledger.dropped) == ["no completion is among the k best"]
    made, _ = select.best(found, None, max_per_prompt=1, k=2)
    assert [row["messages"][1]["content"] for row in made] == ["a", "c"]


def test_a_length_penalty_is_of_each_token():
    found = select.penalised(frame([[1.0, 0.8]], [["abcd", "a"]], [[True, True]]), 0.1)
    assert found.score.tolist() == pytest.approx([0.5, 0.6])
    (row,), _ = select.best(found, None, 1)
    assert row["messages"][1]["content"] == "a"


def test_a_conversation_without_an_end_is_passed_over_for_its_own_reason(tmp_path):
    said = [
        {"role": "user", "content": "p"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "more"},
    ]
    row = {"prompt_id": 0, "prompt": said[:1], "reference": None, "completion": "a", "tokens": 2, "choice": None}
    ends = [(said[1:], False), (said[1:2], False), (said[1:2], True)]
    made = [row | {"sample": i, "turns": turns, "finished": finished} for i, (turns, finished) in enumerate(ends)]
    rows.write(made, rows.CONVERSATIONS, tmp_path / "completions.parquet")
    assert [select.why_never(row, {"score": None}) for row in completions_of(tmp_path)] == [
        "no room for an answer to a follow-up",
        "an answer was cut at max_new_tokens",
        "has no score",
    ]
