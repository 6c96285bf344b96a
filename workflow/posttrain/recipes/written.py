"""Entries as the pages have them, with those that they extend below them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.files import Refusal
from posttrain.recipes import page, sections
from posttrain.recipes.names import check_name, check_use
from posttrain.recipes.page import Where
from posttrain.words import did_you_mean


@dataclass(frozen=True)
class Written:
    """An entry as typed."""

    value: dict
    where: Where
    inherited: frozenset[tuple] = frozenset()  # the keys that what it extends says, and it does not
    overlaid: frozenset[str] = frozenset()  # the keys of its runtime that the site says
    ancestors: int = 0  # the entries that it extends, one through another


def gather(path: Path, written: dict[str, Written], uses: dict) -> None:
    """Add a page's entries to those written so far."""
    value, where = page.read(path)
    for section, items in value.items():
        line = where[(section,)]
        if section not in (*sections.SECTIONS, "use"):
            known = [*sections.SECTIONS, "use"]
            raise Refusal(f"{line}: {section}: no such section. {did_you_mean(section, known)}")
        if not isinstance(items, dict):
            raise Refusal(f"{line}: {section}: is a mapping from names to recipes")
        for name, item in items.items():
            line = where[(section, name)]
            if section == "use":
                if name in uses:
                    raise Refusal(f"{line}: use.{name}: the name is taken by {uses[name][1]}; choose another")
                uses[name] = (check_use(name, item, line), line)
                continue
            check_name(section, name, line)
            key = f"{section}/{name}"
            if key in written:
                raise Refusal(
                    f"{line}: {section}.{name}: the name is taken by {written[key].where[()]}; choose another"
                )
            if not isinstance(item, dict):
                raise Refusal(
                    f"{line}: {section}.{name}: a recipe is a mapping; say `extends: name` for one like another"
                )
            inner = {at[2:]: place for at, place in where.items() if at[:2] == (section, name)}
            written[key] = Written(item, inner)


def extend(path: str, written: dict[str, Written], seen: tuple) -> Written:
    """An entry with its ancestors' fields below its own; a parent's scan is not inherited."""
    entry = written[path]
    if "extends" not in entry.value:
        return entry
    section, name = path.split("/", 1)
    parent, line = entry.value["extends"], entry.where[("extends",)]
    above = f"{section}/{parent}"
    if above in (*seen, path):
        chain = " → ".join(p.split("/", 1)[1] for p in (*seen, path, above))
        raise Refusal(f"{line}: {section}.{name}.extends: goes round in a circle: {chain}")
    if above not in written:
        known = [p.split("/", 1)[1] for p in written if p.startswith(section + "/")]
        raise Refusal(f"{line}: {section}.{name}.extends: there is no {above}. {did_you_mean(parent, known)}")
    below = extend(above, written, (*seen, path))
    inherited = {key: value for key, value in below.value.items() if key not in ("extends", "scan")}
    own = {key: value for key, value in entry.value.items() if key != "extends"}
    where = {**below.where, **entry.where}
    kept = frozenset(below.where.keys() - entry.where.keys())
    return Written(merge(inherited, own), where, kept, ancestors=below.ancestors + 1)


def merge(below: Any, above: Any) -> Any:
    """Mappings merge key by key, and null takes away what is below it; anything else is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if above[key] is None:
            del merged[key]
        else:
            merged[key] = merge(below[key], above[key])
    return merged
