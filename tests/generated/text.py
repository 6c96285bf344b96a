"""JSON that a person can read a change of."""

import json
from typing import Any


def unfolded(value: Any, depth: int) -> str:
    """JSON whose mappings are unfolded to a depth, and whose values there stand in one line each."""
    return lines(value, depth, "") + "\n"


def lines(value: Any, depth: int, indent: str) -> str:
    if not depth or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = f"{indent} "
    items = [f"{inner}{json.dumps(key)}: {lines(item, depth - 1, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"
