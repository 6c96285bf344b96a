"""Verdicts of a judge: read from a marked place of a reply or not at all, and what they make of completions.

Two completions are shown in both orders. A verdict that changes with the order is of the places, and counts as a tie.
"""

import random
import re
from collections import defaultdict
from dataclasses import dataclass

from posttrain.data.ledger import Ledger

MARKS = {mode: re.compile(rf"{word}:[\s*]*\[\[([^\[\]]*)\]\]", re.I) for mode, word in
         (("pointwise", "Rating"), ("pairwise", "Verdict"))}  # fmt: skip
IMITATED = re.compile(r"((?:Rating|Verdict):[\s*]*)\[\[", re.IGNORECASE)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
FIRST_IS_WORTH = {"a": 1.0, "b": 0.0, "tie": 0.5}
WINS = {1.0: "the first place wins", 0.0: "the second place wins", 0.5: "a tie"}


@dataclass(frozen=True)
class Verdict:
    """A rating, or what the first of two is worth; None and why, if the reply has none."""

    value: float | None
    why: str | None = None


def harmless(text: str) -> str:
    """A text that a judge is shown, without the marks of a verdict: if it is quoted, it is none."""
    return IMITATED.sub(r"\1[ [", text)


def verdict(reply: str | None, mode: str, lowest: float = 0, highest: float = 0) -> Verdict:
    """The one verdict of a reply; None is a reply that there was no room for."""
    if reply is None:
        return Verdict(None, "no room for the question and a reply")
    if not reply.strip():
        return Verdict(None, "an empty reply")
    found = {mark.strip().lower() for mark in MARKS[mode].findall(reply)}
    if not found:
        return Verdict(None, "no verdict in the marked place")
    if len(found) > 1:
        return Verdict(None, "several verdicts")
    (mark,) = found
    if mode == "pairwise":
        return Verdict(FIRST_IS_WORTH[mark]) if mark in FIRST_IS_WORTH else Verdict(None, "no verdict that there is")
    if not NUMBER.fullmatch(mark):
        return Verdict(None, "a rating that is no number")
    if not lowest <= float(mark) <= highest:
        return Verdict(None, "a rating beyond the scale")
    return Verdict(float(mark))


def ring(places: list[int], challenges: int, seed: str) -> list[tuple[int, int]]:
    """Pairs of a prompt's completions, each once: on a ring of a drawn order, each with so many of those after it."""
    drawn = sorted(places)
    random.Random(seed).shuffle(drawn)
    size = len(drawn)
    pairs = [(drawn[i], drawn[(i + ahead) % size]) for ahead in range(1, challenges + 1) for i in range(size)]
    return [pair for pair in {tuple(sorted(pair)): pair for pair in pairs}.values() if pair[0] != pair[1]]


def compared(pairs: list[tuple[int, int]], verdicts: list[tuple[Verdict, Verdict]]) -> tuple[dict[int, float], Ledger]:
    """What each completion is worth on average of its comparisons, and a ledger of these.

    Args:
        verdicts: of each pair as it stands, and of the two in the other order.
    """
    ledger, worth = Ledger("comparisons"), defaultdict(list)
    for (one, other), (said, turned) in zip(pairs, verdicts, strict=True):
        ledger.read += 1
        if said.value is None or turned.value is None:
            ledger.drop("no verdict in one order")
            continue
        value = said.value
        if value != 1 - turned.value:
            ledger.alter("the two orders disagree: a tie")
            value = 0.5
        worth[one].append(value)
        worth[other].append(1 - value)
    return {place: sum(values) / len(values) for place, values in worth.items()}, ledger


def bias(verdicts: list[Verdict], comparisons: Ledger) -> dict[str, float]:
    """first_place: share of the wins that are the first place's; inconsistent: of pairs with two verdicts, the share
    in which these disagree. A judge that knows no places has a half and 0.
    """
    won = [verdict.value for verdict in verdicts if verdict.value in (0, 1)]
    shares = {"first_place": (won.count(1), len(won))}
    shares["inconsistent"] = (comparisons.altered.total(), comparisons.kept)
    return {name: part / whole for name, (part, whole) in shares.items() if whole}
