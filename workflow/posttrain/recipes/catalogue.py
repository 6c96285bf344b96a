"""The catalogue: every artifact that the recipe pages name, extended, scanned, overlaid and checked."""

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posttrain.files import Refusal, canonical
from posttrain.recipes import faults, fields, methods, page, runtime, sections, site
from posttrain.recipes.page import Where
from posttrain.recipes.site import Site
from posttrain.words import did_you_mean, dotted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST = 100  # what a person writes
LONGEST_POINT = 170  # a file system's 255, less `.run.json` and the host and process that a draft is named after
PART = r"[A-Za-z0-9][\w.-]*"
# org/name, or org/name@revision. `--` stands for its slashes in a file's name, which ends at 255 bytes.
HUB_ID = re.compile(rf"(?!.*(--|\.\.)|.{{151}}){PART}/{PART}(@{PART}(/{PART})*)?", re.ASCII)
ENDINGS = (".json", ".run", ".md", ".html")  # models/x.run.json is x's own record
TRAINING_ONLY = set(runtime.TrainRuntime.model_fields) - set(runtime.Runtime.model_fields)


@dataclass(frozen=True)
class Named:
    """One entry of the catalogue: `models/zephyr-7b-sft` and its recipe, checked, with every default filled in."""

    path: str
    recipe: fields.Entry
    where: Where
    overlaid: frozenset[str] = frozenset()  # the keys of its runtime that the site says
    as_written: "Named | None" = None  # where the site says some, the entry without
    refusal: str = ""  # why what the site says does not fit it

    def at(self, *key: Any) -> str:
        """Where a part of the recipe was written: file:line, of the nearest part that was."""
        while key and key not in self.where:
            key = key[:-1]
        return self.where[key]

    def refuse(self, key: tuple, why: str) -> Refusal:
        section, name = self.path.split("/", 1)
        return Refusal(f"{self.at(*key)}: {dotted((section, name, *key))}: {why}")

    def blamed(self, key: tuple, *circumstances: str) -> tuple:
        """The key to change: of these fields of the runtime the first that the site says, else the recipe's key."""
        return next((("runtime", field) for field in circumstances if field in self.overlaid), key)


@dataclass(frozen=True)
class Catalogue:
    entries: dict[str, Named]  # "models/x" → its recipe
    uses: dict[str, tuple[str, str]]  # "models/x" → the folder or hub id used in its place, and where that is said
    scans: dict[str, list[str]]  # "models/x" → the models its scan names
    families: dict[str, list[str]]  # what a page of recipes is called → its models
    published: dict[str, Named]  # "x" → where models/x is published, and as what
    site: dict[str, Any]  # what config/site.yaml says


@dataclass(frozen=True)
class Written:
    """An entry as typed."""

    value: dict
    where: Where
    inherited: frozenset[tuple] = frozenset()  # the keys that what it extends says, and it does not
    overlaid: frozenset[str] = frozenset()  # the keys of its runtime that the site says
    ancestors: int = 0  # the entries that it extends, one through another


def load(folders: list[Path], site_file: Path) -> Catalogue:
    """Read every page of the folders and the site's overlay."""
    written: dict[str, Written] = {}
    uses: dict[str, tuple[str, str]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise Refusal(f"config/config.yaml: recipes: there is no folder {folder}")
        for path in sorted(folder.glob("*.yml")):
            raise Refusal(f"{path}: pages end in .yaml; rename it")
        for path in sorted(folder.glob("*.yaml")):
            gather(path, written, uses)
    overlaid = site.read(site_file)
    extended = {path: extend(path, written, ()) for path in written}
    checked: dict[str, dict[str, Named]] = {}
    for path in sorted(written, key=lambda path: extended[path].ancestors):  # a fault is its own entry's, not an heir's
        checked[path] = {}
        for name, point in scan_points(path, extended[path]):
            checked[path][name] = fitted(check(name, point), point, overlaid)
            check_point(name, point.where.get(("scan",), ""))
    entries = {name: entry for path in written for name, entry in checked[path].items()}
    published = {path.split("/", 1)[1]: entries.pop(path) for path in written if path.startswith("published/")}
    scans = {path: list(checked[path]) for path in written if "scan" in extended[path].value}
    overlaid.refuse_idle(entries)
    for path, (_, line) in uses.items():
        if path in scans:
            raise Refusal(f"{line}: use.{path}: is a scan; use one of its models: {scans[path][0]}")
    return Catalogue(entries, uses, scans, families_of(entries, uses), published, overlaid.said)


def families_of(entries: dict[str, Named], uses: dict[str, tuple[str, str]]) -> dict[str, list[str]]:
    """The models of each page, by the page's name, which is `x-family` where a model is called x."""
    found, taken = {}, {*entries, *uses}
    for path, entry in entries.items():
        page = Path(entry.at().rpartition(":")[0]).stem
        if path.startswith("models/") and NAME.fullmatch(page):
            found.setdefault(f"{page}-family" if f"models/{page}" in taken else page, []).append(path)
    return {name: made for name, made in found.items() if f"models/{name}" not in taken}


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


def check_name(section: str, name: str, line: str) -> None:
    scanned = section == "published"  # its names are models', those of a scan too
    parts, longest = (re.split("[@=,+]", name), LONGEST_POINT) if scanned else ([name], LONGEST)
    if not all(map(NAME.fullmatch, parts)):
        raise Refusal(
            f"{line}: {section}.{name!r}: not a name. A name has letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )
    if len(name) > longest:
        raise Refusal(
            f"{line}: {section}.{name}: a name has no more than {longest} characters, and this one {len(name)}"
        )
    if name.endswith(ENDINGS):
        raise Refusal(f"{line}: {section}.{name}: a name does not end in {', '.join(ENDINGS)}")


def check_use(name: str, item: Any, line: str) -> str:
    section, _, rest = name.partition("/")
    if section not in sections.SECTIONS or section in ("evals", "published") or not rest:
        raise Refusal(f"{line}: use.{name}: say which target, as in `models/zephyr-7b-sft`")
    if not all(map(NAME.fullmatch, re.split("[@=,+]", rest))) or len(rest) > LONGEST_POINT:
        raise Refusal(f"{line}: use.{name}: {rest!r} is not a name of at most {LONGEST_POINT} characters")
    if not isinstance(item, str):
        raise Refusal(f"{line}: use.{name}: is the path of a folder, or a hub id")
    return item


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


def fitted(entry: Named, written: Written, overlaid: Site) -> Named:
    """An entry as the site has it. What does not fit refuses those who ask for it, and nobody else."""
    above = overlay(entry.path, written, overlaid) if hasattr(entry.recipe, "runtime") else written
    if not above.overlaid:
        return entry
    try:
        return replace(check(entry.path, above), as_written=entry)
    except Refusal as refusal:
        return replace(entry, refusal=str(refusal))


def overlay(path: str, entry: Written, overlaid: Site) -> Written:
    """An entry with the site's runtime fields over its own."""
    value, where, keys = entry.value, dict(entry.where), set()
    if not isinstance(value.get("runtime", {}), dict):
        return entry
    untrained = value.get("method") in methods.UNTRAINED  # one pattern may name models of every method
    for said, lines in overlaid.runtimes(path):
        meant = {key: said[key] for key in said if not (untrained and key in TRAINING_ONLY)}
        value, where, keys = merge(value, {"runtime": meant}), where | lines, keys | set(meant)
    return Written(value, where, entry.inherited, frozenset(keys))


def check(path: str, entry: Written) -> Named:
    """The entry as its schema reads it, or a refusal that names every fault."""
    section, name = path.split("/", 1)
    draft = Named(path, runtime.Runtime(), entry.where, entry.overlaid)
    if section == "models":
        method = entry.value.get("method")
        if method not in list(methods.METHODS):  # a list, for what YAML says may not be hashable
            said = f"no method {method!r}." if method else "is missing."
            raise draft.refuse(("method",), f"{said} {did_you_mean(method, list(methods.METHODS))}")
        kind = methods.METHODS[method]
    else:
        kind = sections.kind_of(section, entry.value)
    try:
        return Named(path, kind.model_validate(entry.value), entry.where, entry.overlaid)
    except ValidationError as error:
        found = faults.of(kind, entry.value, error, entry.inherited, entry.overlaid)
        raise Refusal("\n".join(str(draft.refuse(key, why)) for key, why in found.items())) from None
