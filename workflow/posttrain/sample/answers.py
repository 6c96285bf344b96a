"""Rows of conversations, chosen by no score: the last answer, or the last against the first. Pure functions."""

from collections.abc import Iterator

from posttrain.data.ledger import Ledger
from posttrain.data.rows import why_not_taken
from posttrain.data.turns import turn


def half_of(rows: list[dict], half: str | None) -> list[dict]:
    """The rows of the first or the second half of the prompts, by number: of an odd count the second has one more."""
    numbers = sorted({row["prompt_id"] for row in rows})
    if half is None or not numbers:
        return rows
    middle = numbers[len(numbers) // 2]
    return [row for row in rows if (row["prompt_id"] < middle) == (half == "first")]


def last_answers(rows: list[dict]) -> tuple[list[dict], Ledger]:
    """`messages`: each prompt with its last answer."""
    ledger = Ledger("conversations")
    return [{"messages": [*row["prompt"], turn("assistant", row["completion"])]} for row in ended(rows, ledger)], ledger


def last_vs_first(rows: list[dict]) -> tuple[list[dict], Ledger]:
    """`prompt`, `chosen`, `rejected`: the last answer to each prompt against the first."""
    ledger, pairs = Ledger("conversations"), []
    for row in ended(rows, ledger):
        last, first = row["completion"], row["turns"][0]["content"]
        if not first.strip():
            ledger.drop("the first answer is empty", row["prompt"], last, first)
        elif last.strip() == first.strip():
            ledger.drop("the last answer is the first", row["prompt"], last)
        else:
            pairs.append(
                {"prompt": row["prompt"], "chosen": [turn("assistant", last)], "rejected": [turn("assistant", first)]}
            )
    return pairs, ledger


def ended(rows: list[dict], ledger: Ledger) -> Iterator[dict]:
    """The conversations that came to their end and say something there."""
    for row in rows:
        ledger.read += 1
        if why := why_not_taken(row):
            ledger.drop(why, row["prompt"], row["completion"])
        else:
            yield row
