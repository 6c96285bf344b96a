"""Scans: one entry that stands for a model of every combination of values."""

import itertools
import re
from typing import Any

from posttrain.files import Refusal, canonical
from posttrain.recipes import faults, methods
from posttrain.recipes.names import LONGEST_POINT, NAME
from posttrain.recipes.written import Written, merge


def scan_points(path: str, entry: Written) -> list[tuple[str, Written]]:
    """The entries a scan stands for, one for each combination of its values; the entry itself without a scan."""
    if "scan" not in entry.value:
        return [(path, entry)]
    section, name = path.split("/", 1)
    line, axes = entry.where[("scan",)], entry.value["scan"]
    if section != "models" or not isinstance(axes, dict) or not axes:
        raise Refusal(f"{line}: {section}.{name}.scan: is a mapping from a model's fields to lists of values")
    rest = {key: value for key, value in entry.value.items() if key != "scan"}
    inner = {key: scanned_field(f"{section}.{name}", rest, key, entry) for key in axes}
    points = {}
    for numbers in itertools.product(*(range(len(values)) for values in axes.values())):
        point, where, said = rest, dict(entry.where), []
        for (key, values), i in zip(axes.items(), numbers, strict=True):
            point = merge(point, {key: values[i]} if len(inner[key]) == 1 else {"train": {key: values[i]}})
            where[inner[key]] = entry.where[("scan", key, i)]
            said.append(f"{key}={spelling(values[i])}")
        named = f"{path}@{','.join(said)}"
        if named in points:
            raise Refusal(f"{line}: {section}.{name}.scan: has {named} twice")
        points[named] = Written(point, where, entry.inherited.difference(inner.values()))
    return list(points.items())


def scanned_field(path: str, recipe: dict, key: str, entry: Written) -> tuple:
    """The field of a recipe that a scan's key and its list of values are of."""
    values, line = entry.value["scan"][key], entry.where[("scan", key)]
    if not isinstance(values, list) or not values:
        raise Refusal(f"{line}: {path}.scan.{key}: is a list of values")
    kind = methods.METHODS.get(str(recipe.get("method")))
    sections_of_it = [part for part in faults.PARTS if part != "train"]
    if key in ("method", *faults.PARTS) or any(key in faults.fields_at(kind, [part]) for part in sections_of_it):
        raise Refusal(
            f"{line}: {path}.scan.{key}: cannot be scanned, as a model's own fields and those of `train` can; "
            f"write an entry for each value, which `extends` {path.partition('.')[2]}"
        )
    return (key,) if key in faults.fields_at(kind, []) else ("train", key)


def check_point(path: str, line: str) -> None:
    """Raises: Refusal, if scanned values cannot stand in a file's name."""
    whole = path.split("/", 1)[1]
    name, _, point = whole.partition("@")
    if not all(NAME.fullmatch(part) for part in re.split("[@=,+]", whole)):
        raise Refusal(f"{line}: models.{name}.scan: {point!r} cannot be part of a name")
    if len(whole) > LONGEST_POINT:
        raise Refusal(
            f"{line}: models.{name}.scan: a name with its values has no more than {LONGEST_POINT} characters, and "
            f"{whole} {len(whole)}; scan fewer fields at once"
        )


def spelling(value: Any) -> str:
    """A scanned value as it stands in a name: 0.10 is 0.1, [sigmoid, sft] is sigmoid+sft."""
    if isinstance(value, list):
        return "+".join(map(spelling, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(canonical(value))
