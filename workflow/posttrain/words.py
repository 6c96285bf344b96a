"""Words for error messages and tables."""

import difflib

LISTED = 30  # known words; a catalogue may have hundreds


def dotted(path: tuple) -> str:
    """A path as a person writes it: models.zephyr-7b-sft.train.seed."""
    return ".".join(str(part) for part in path)


def nearest(word: str, known: list[str], count: int = 1) -> list[str]:
    """The known words most like this one."""
    return difflib.get_close_matches(str(word), known, count, 0.5)


def did_you_mean(word: str, known: list[str]) -> str:
    """The end of an error line about a word that is not known."""
    near = nearest(word, known)
    if near:
        return f"Did you mean {near[0]}?"
    if not known:
        return "There is none yet"
    more = [f"… and {len(known) - LISTED} others"] if len(known) > LISTED else []
    return f"Known: {', '.join(sorted(known)[:LISTED] + more)}"


def volume(count: float) -> str:
    """Bytes as a person says them: 3.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def clipped(line: str, widest: int) -> str:
    """A line that has no more than so many characters."""
    return line if len(line) <= widest else line[: widest - 1] + "…"


def lasting(seconds: float) -> str:
    """A time as a person says it: 40 s, 12 min, 3.4 h."""
    for unit, count in (("s", 1), ("min", 60)):
        if seconds < 99.5 * count:
            return f"{seconds / count:.0f} {unit}"
    return f"{seconds / 3600:.3g} h"


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they must be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
