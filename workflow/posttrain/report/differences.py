"""Where the recipes of targets differ, and those of what they are made from."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from posttrain.plan.lineage import lineage
from posttrain.recipes import identity
from posttrain.report.naming import LISTED, name_of

SAID_ELSEWHERE = ("stage", "version")  # fields of an identity that no recipe has


class Apart(NamedTuple):
    """Targets that stand at the same place in their models' lineages, and the fields in which they differ."""

    kind: str
    names: list[str]
    fields: dict[str, list[str]]  # dotted key → the value of each


def differences(targets: dict[str, dict], paths: list[str]) -> Iterator[Apart]:
    """Where some targets differ, and then where what they are made from does, role by role.

    That ends where stages differ, whose fields are others, and where one is made from the other.
    """
    waiting, seen = [paths], set()
    while waiting:
        group = waiting.pop(0)
        if tuple(group) in seen or len({targets[path]["intent"] for path in group}) == 1:
            continue
        seen.add(tuple(group))
        kind = group[0].split("/")[0]
        if kind in LISTED:
            fields = differing([targets[path]["identity"] for path in group])
            yield Apart(kind, [name_of(path, targets[path]) for path in group], fields)
        inputs = [identity.counted(targets[path]["inputs"]) for path in group]
        shared = [role for role in inputs[0] if all(role in made for made in inputs)]
        below = [[made[role] for made in inputs] for role in shared]
        waiting += [group for group in below if alike(targets, group)]


def alike(targets: dict[str, dict], group: list[str]) -> bool:
    """Whether targets are of one stage, and none is made from another."""
    if len({targets[path]["stage"] for path in group}) > 1:
        return False
    above = {path: set(lineage(targets, path)) - {path} for path in group}
    return not any(path in made for path in group for made in above.values())


def differing(identities: list[dict]) -> dict[str, list[str]]:
    """The leaves in which identities differ, by dotted key, with the value of each."""
    said = [dict(leaves(made)) for made in identities]
    keys = list(dict.fromkeys(key for made in said for key in made))
    rows = {key: [made.get(key, "unset") for made in said] for key in keys if key not in SAID_ELSEWHERE}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """The values of a recipe by dotted key, as a person writes them; a list of plain values is one."""
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        value = ", ".join(map(str, value))
    if not isinstance(value, dict | list):
        yield at, value if isinstance(value, str) else json.dumps(value)
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(item, f"{at}.{key}" if at else str(key))
