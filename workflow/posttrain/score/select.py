"""Choosing rows from scored completions: pure functions of a frame, with a ledger of what was left out and why.

A frame has a row a completion: prompt_id, sample, prompt (turns), completion, tokens, score, and why it is never
chosen, or None. The order of its rows changes nothing.
"""

import random
from collections.abc import Iterator

import pandas as pd

from posttrain.data.ledger import Ledger
from posttrain.data.rows import why_not_taken
from posttrain.data.turns import turn

NO_REASON = "has no score"  # of scores that were not made here
BEST_FIRST = {"by": ["prompt_id", "score", "sample"], "ascending": [True, False, True]}


def penalised(frame: pd.DataFrame, length_penalty: float) -> pd.DataFrame:
    """The frame with so much taken off each score for each token."""
    return frame.assign(score=frame.score - length_penalty * frame.tokens) if length_penalty else frame


def best(
    frame: pd.DataFrame, min_score: float | None, max_per_prompt: int | None = None, k: int | None = None
) -> tuple[list[dict], Ledger]:
    """The completions that reach min_score, of each prompt the best so many, and of all these the k best: `messages`.

    Of equal scores the earlier prompt's goes first, then the first drawn.
    """
    good = frame[choosable(frame)].sort_values(**BEST_FIRST)
    good = good if min_score is None else good[good.score >= min_score]
    good = good if max_per_prompt is None else good.groupby("prompt_id").head(max_per_prompt)
    by_score = good.sort_values(["score", "prompt_id", "sample"], ascending=[False, True, True])
    frame = frame.assign(kept=frame.index.isin(by_score.index[:k]))
    ledger, rows = Ledger("prompts"), []
    for prompt, found in by_prompt(frame, ledger):
        first, kept = found.iloc[0], found[found.kept]
        if min_score is not None and first.score < min_score:
            ledger.drop("no completion reaches min_score", prompt, first.completion)
        elif kept.empty:
            ledger.drop("no completion is among the k best", prompt, first.completion)
        rows += [{"messages": [*prompt, turn("assistant", row.completion)]} for row in kept.itertuples()]
    return rows, ledger


def pairs(
    frame: pd.DataFrame,
    select: str,
    min_score: float | None,
    min_margin: float,
    max_chars: int | None = None,
    seed: int = 0,
) -> tuple[list[dict], Ledger]:
    """Of each prompt the best completion and one that it beats by min_margin: `prompt`, `chosen`, `rejected`.

    That is the lowest (best_vs_worst), the highest of them (best_vs_second), or one that is drawn (best_vs_random).
    """
    ledger, rows, against = Ledger("prompts"), [], select.removeprefix("best_vs_")
    for prompt, found in by_prompt(frame, ledger):
        first, worst = found.iloc[0], found[found.score == found.score.min()].iloc[0]
        beaten = found[(found.score < first.score) & (first.score - found.score >= min_margin)]
        other = worst if beaten.empty else beaten.iloc[place(against, beaten, seed)]
        both = (first.completion, other.completion)
        if min_score is not None and first.score < min_score:
            ledger.drop("no completion reaches min_score", prompt, *both)
        elif first.score == worst.score:
            ledger.drop("all completions score the same", prompt, *both)
        elif beaten.empty:
            ledger.drop("the best does not beat the worst by min_margin", prompt, *both)
        elif first.completion.strip() == other.completion.strip():
            ledger.drop(f"the best and the {against} are the same text", prompt, *both)
        elif first.completion.strip()[:max_chars] == other.completion.strip()[:max_chars]:
            ledger.drop(f"the best and the {against} are the same text up to max_chars", prompt, *both)
        else:
            rows.append(
                {
                    "prompt": prompt,
                    "chosen": [turn("assistant", first.completion)],
                    "rejected": [turn("assistant", other.completion)],
                }
            )
    return rows, ledger


def place(against: str, beaten: pd.DataFrame, seed: int) -> int:
    """Where among the beaten, best first, the one stands that the best is paired with."""
    if against == "worst":
        return int((beaten.score == beaten.score.min()).to_numpy().argmax())
    return random.Random(f"{seed} {beaten.iloc[0].prompt_id}").randrange(len(beaten)) if against == "random" else 0


def passed_over(frame: pd.DataFrame) -> Ledger:
    """A ledger of the completions: those of which no row is made, or that have no score, are never chosen."""
    ledger = Ledger("completions")
    ledger.read = len(frame)
    for row in frame[~choosable(frame)].sort_values(["prompt_id", "sample"]).itertuples():
        ledger.drop(row.why, row.prompt, row.completion)
    return ledger


def choosable(frame: pd.DataFrame) -> pd.Series:
    return frame.why.isna()


def why_never(completion: dict, score: dict) -> str | None:
    """Why a completion is never chosen, if it is not."""
    unscored = (score.get("why") or NO_REASON) if score["score"] is None else None
    return why_not_taken(completion) or unscored


def by_prompt(frame: pd.DataFrame, ledger: Ledger) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Each prompt's completions, best first, but for those that are never chosen."""
    for _, found in frame.sort_values(**BEST_FIRST).groupby("prompt_id", sort=True):
        ledger.read += 1
        first, whole = found.iloc[0], found[choosable(found)]
        if whole.empty:
            why = "every completion is cut, empty or unscored"
            ledger.drop(why, list(first.prompt), first.completion)
            continue
        yield list(first.prompt), whole
