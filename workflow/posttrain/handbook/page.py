"""A page of recipes as a person would write it."""

from typing import Any

import yaml

WIDTH = 110  # characters of a line, beyond which a mapping is unfolded


def written(head: str, page: dict[str, dict[str, dict]]) -> str:
    """The text of a page: its sections, their entries, each field in a line as far as it fits."""
    lines = [f"# {head}"]
    for section, entries in page.items():
        lines += ["" if len(lines) > 1 else None, f"{section}:"]
        for name, entry in entries.items():
            lines += [f"  {name}:", *(line for key, value in entry.items() for line in field(key, value, "    "))]
    return "\n".join(line for line in lines if line is not None) + "\n"


def field(key: str, value: Any, indent: str) -> list[str]:
    line = f"{indent}{key}: {flow(value)}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{indent}{key}:", *(f"{indent}  - {flow(item)}" for item in value)]
    if isinstance(value, dict) and len(line) > WIDTH:
        return [f"{indent}{key}:", *(below for inner in value.items() for below in field(*inner, f"{indent}  "))]
    return [line]


def flow(value: Any) -> str:
    """A value in a line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
