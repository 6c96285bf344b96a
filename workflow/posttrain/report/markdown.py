"""Markdown in which whatever an artifact says is text."""

import re
from typing import Any

import jinja2

MARKS = re.compile(r"([\\`*_\[\]<>|~#&$!@])")


class Markdown(str):
    """What is Markdown already."""


def text(value: Any) -> str:
    """A value as text of one line."""
    return value if isinstance(value, Markdown) else MARKS.sub(r"\\\1", one_line(value))


def code(value: Any) -> Markdown:
    """A value as it is written in a program or a page, on one line; also in a table."""
    said = one_line(value).replace("|", "\\|")
    ticks = "`" * (1 + longest_run(said))
    pad = " " if "`" in said else ""
    return Markdown(f"{ticks}{pad}{said}{pad}{ticks}")


def block(value: str, language: str = "") -> Markdown:
    """Lines as they are written."""
    ticks = "`" * max(3, 1 + longest_run(value))
    return Markdown(f"{ticks}{language}\n{value}\n{ticks}")


def one_line(value: Any) -> str:
    return " ".join(str(value).split())


def longest_run(said: str) -> int:
    """How many backticks follow each other at most."""
    return max(map(len, re.findall("`+", said)), default=0)


def environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Templates in which every value is text, unless it is made code or a block of it."""
    made = jinja2.Environment(  # noqa: S701  `text` is what escapes here
        loader=loader, finalize=text, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"code": code, "block": block}
    return made
