"""Choosing rows from scored completions: pure functions of a frame, with a ledger of what was left out and why.

A frame has a row a completion: prompt_id, sample, prompt (turns), completion, finished, score. The order of its rows
changes nothing.
"""

from collections.abc import Iterator

import pandas as pd

from posttrain.data.ledger import Ledger


def best_of_n(frame: pd.DataFrame, min_score: float | None) -> tuple[list[dict], Ledger]:
    """Of each prompt the completion of the highest score, of equal ones the first drawn: `messages`."""
    ledger, rows = Ledger("prompts"), []
    for prompt, found in by_prompt(frame, ledger):
        best = found.iloc[0]
        if min_score is not None and best.score < min_score:
            ledger.drop("no completion reaches min_score", prompt, best.completion)
            continue
        rows.append({"messages": [*prompt, answer(best)]})
    return rows, ledger


def best_vs_worst(frame: pd.DataFrame, min_score: float | None, min_margin: float) -> tuple[list[dict], Ledger]:
    """Of each prompt the completions of the highest and the lowest score: `prompt`, `chosen`, `rejected`."""
    ledger, rows = Ledger("prompts"), []
    for prompt, found in by_prompt(frame, ledger):
        best, worst = found.iloc[0], found[found.score == found.score.min()].iloc[0]
        both = (best.completion, worst.completion)
        if min_score is not None and best.score < min_score:
            ledger.drop("no completion reaches min_score", prompt, *both)
        elif best.score == worst.score:
            ledger.drop("all completions score the same", prompt, *both)
        elif best.score - worst.score < min_margin:
            ledger.drop("the best does not beat the worst by min_margin", prompt, *both)
        elif best.completion.strip() == worst.completion.strip():
            ledger.drop("the best and the worst are the same text", prompt, *both)
        else:
            rows.append({"prompt": prompt, "chosen": [answer(best)], "rejected": [answer(worst)]})
    return rows, ledger


def passed_over(frame: pd.DataFrame) -> Ledger:
    """A ledger of the completions: those that were cut, say nothing or have no score are never chosen."""
    ledger = Ledger("completions")
    ledger.read = len(frame)
    for _, row in frame[~choosable(frame)].sort_values(["prompt_id", "sample"]).iterrows():
        why = "longer than the reward model may read" if row.completion.strip() else "empty"
        ledger.drop(why if row.finished else "cut at max_new_tokens", row.prompt, row.completion)
    return ledger


def choosable(frame: pd.DataFrame) -> pd.Series:
    return frame.finished & (frame.completion.str.strip() != "") & frame.score.notna()


def by_prompt(frame: pd.DataFrame, ledger: Ledger) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Each prompt's completions, best first, but for those that are never chosen."""
    frame = frame.sort_values(["prompt_id", "score", "sample"], ascending=[True, False, True])
    for _, found in frame.groupby("prompt_id", sort=True):
        ledger.read += 1
        first, whole = found.iloc[0], found[choosable(found)]
        if whole.empty:
            why = "every completion is cut at max_new_tokens, empty or unscored"
            ledger.drop(why, list(first.prompt), first.completion)
            continue
        yield list(first.prompt), whole


def answer(row: pd.Series) -> dict:
    return {"role": "assistant", "content": row.completion}
