"""What an answer must look like, whatever it says: constraints that can be verified, as IFEval has them."""

import json
import re
from collections.abc import Callable
from typing import Any

from posttrain.words import did_you_mean

FENCED = re.compile(r"\s*```\w*\n(.*?)\n\s*```\s*", re.DOTALL)


def min_words(text: str, count: int) -> bool:
    return len(text.split()) >= count


def max_words(text: str, count: int) -> bool:
    return len(text.split()) <= count


def required_words(text: str, words: list) -> bool:
    return all(has_word(text, word) for word in words)


def forbidden_words(text: str, words: list) -> bool:
    return not any(has_word(text, word) for word in words)


def has_word(text: str, word: str) -> bool:
    """Whether a word, or several, stands in a text, in whatever case and not as a part of another."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def bullets(text: str, count: int) -> bool:
    return sum(line.lstrip().startswith(("- ", "* ")) for line in text.splitlines()) == count


def paragraphs(text: str, count: int) -> bool:
    """Paragraphs are parted by lines that are empty."""
    return len([part for part in re.split(r"\n[^\S\n]*\n", text) if part.strip()]) == count


def ends_with(text: str, end: str) -> bool:
    return text.rstrip().endswith(end.rstrip())


def lower_case(text: str, wanted: bool) -> bool:
    return (text == text.lower()) == wanted


def valid_json(text: str, wanted: bool) -> bool:
    """JSON may stand in a fence."""
    fenced = FENCED.fullmatch(text)
    try:
        json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return not wanted
    return wanted


CONSTRAINTS: dict[str, Callable[[str, Any], bool]] = {
    hold.__name__: hold
    for hold in (
        min_words, max_words, required_words, forbidden_words, bullets, paragraphs, ends_with, lower_case, valid_json
    )
}  # fmt: skip
NONE: dict[str, Any] = {}


def constraints(completion: str, reference: str | None, hold: dict) -> float:
    """The share of the constraints that hold, by name: how many words or bullets, which words, and so on."""
    return sum(CONSTRAINTS[name](completion, value) for name, value in hold.items()) / len(hold)


def row_constraints(completion: str, reference: str, hold: dict = NONE) -> float:
    """The same with those of the prompt's row too, whose answer is a JSON object of them."""
    said = json.loads(reference)
    if not isinstance(said, dict) or not (said := hold | said):
        raise ValueError("the reference is no JSON object of constraints")
    if wrong := wrong_constraint(said):
        name, why = wrong
        raise ValueError(f"the reference: {name}: {why}")
    return constraints(completion, reference, said)


def wrong_constraints(args: dict[str, Any]) -> tuple[tuple, str] | None:
    return wrong_beside_rows(args) if args["hold"] else (("hold",), "has no constraint")


def wrong_beside_rows(args: dict[str, Any]) -> tuple[tuple, str] | None:
    wrong = wrong_constraint(args["hold"])
    return (("hold", wrong[0]), wrong[1]) if wrong else None


def wrong_constraint(hold: dict[str, Any]) -> tuple[str, str] | None:
    """The first constraint that there is none of, or whose value is of another kind, and why."""
    for name, value in hold.items():
        if name not in CONSTRAINTS:
            return name, f"no such constraint. {did_you_mean(name, list(CONSTRAINTS))}"
        wanted = list(CONSTRAINTS[name].__annotations__.values())[1]
        words = wanted is list and isinstance(value, list) and all(isinstance(word, str) and word for word in value)
        if not (words or (wanted is not list and type(value) is wanted)):
            return name, f"{value!r} is no {'list of words' if wanted is list else wanted.__name__}"
    return None
