"""An answer against the right one: word for word, by its last number, as mathematics; or against a pattern."""

import logging
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?!\d))?"
# The minus of a difference (9-3, x-3) is no sign.
NUMBER = re.compile(rf"(?<![\w.])(?P<sign>(?<![)\]%])[-−+])?(?P<above>{DIGITS})(?:/(?P<below>{DIGITS}))?")


def exact_match(completion: str, reference: str) -> float:
    """1 for the reference, word for word; else 0."""
    return float(completion.strip() == reference.strip())


def number_match(completion: str, reference: str) -> float:
    """1 if the last number is the reference's last, however written: $1,000.50, 1/2 for 0.5, 50% for 50; else 0."""
    right = last_number(reference)
    if right is None:
        raise ValueError("the reference has no number")
    return float(last_number(completion) == right)


def last_number(text: str) -> Fraction | None:
    found = list(NUMBER.finditer(text.replace("-$", "-").replace("$", " ")))
    if not found:
        return None
    above, below = (Fraction(Decimal((found[-1][part] or "1").replace(",", ""))) for part in ("above", "below"))
    if not below:
        return None
    return -above / below if found[-1]["sign"] in ("-", "−") else above / below


def math_verify(completion: str, reference: str) -> float:
    """1 if math-verify finds the two equal as mathematics, in LaTeX or plain; else 0."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of having no time limit: ours ends the process
    right = parse(reference, parsing_timeout=None)
    if not right:
        raise ValueError("math-verify finds nothing to compare with in the reference")
    return float(verify(right, parse(completion, parsing_timeout=None), timeout_seconds=None))


def regex(completion: str, reference: str | None, pattern: str) -> float:
    """1 if a pattern of Python's `re` is found in the completion; else 0."""
    return float(re.search(pattern, completion) is not None)


def wrong_pattern(args: dict[str, Any]) -> tuple[tuple, str] | None:
    try:
        re.compile(args["pattern"])
    except (re.error, RecursionError, OverflowError) as error:
        return ("pattern",), f"{args['pattern']!r} is no pattern of Python's re: {error}"
    return None
