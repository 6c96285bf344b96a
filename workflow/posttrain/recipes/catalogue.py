"""The catalogue: every artifact that the recipe pages name, extended, scanned, overlaid and checked."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posttrain.files import Refusal
from posttrain.recipes import faults, fields, methods, runtime, sections, site
from posttrain.recipes.names import NAME
from posttrain.recipes.page import Where
from posttrain.recipes.scans import check_point, scan_points
from posttrain.recipes.site import Site
from posttrain.recipes.written import Written, extend, gather, merge
from posttrain.words import did_you_mean, dotted


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
    """The models of each page, by the page's name, which is `x-family` where a model is called x.

    Raises:
        Refusal: if two pages, of two folders, have one name.
    """
    found, pages, taken = {}, {}, {*entries, *uses}
    for path, entry in entries.items():
        page = Path(entry.at().rpartition(":")[0])
        if path.startswith("models/") and NAME.fullmatch(page.stem):
            name = f"{page.stem}-family" if f"models/{page.stem}" in taken else page.stem
            if (first := pages.setdefault(name, page)) != page:
                raise Refusal(f"{page}: reports/{name}.html is the page of {first}'s models; rename one of the two")
            found.setdefault(name, []).append(path)
    return {name: made for name, made in found.items() if f"models/{name}" not in taken}


def fitted(entry: Named, written: Written, overlaid: Site) -> Named:
    """An entry as the site has it. What does not fit refuses those who ask for it, and nobody else."""
    above = overlay(entry, written, overlaid) if hasattr(entry.recipe, "runtime") else written
    if not above.overlaid:
        return entry
    try:
        return replace(check(entry.path, above), as_written=entry)
    except Refusal as refusal:
        return replace(entry, refusal=str(refusal))


def overlay(entry: Named, written: Written, overlaid: Site) -> Written:
    """An entry as it is written, with the site's runtime fields over its own."""
    value, where, keys = written.value, dict(written.where), set()
    if not isinstance(value.get("runtime", {}), dict):
        return written
    others = meant_for_others(entry)
    for said, lines in overlaid.runtimes(entry.path):
        meant = {key: said[key] for key in said if key not in others}
        value, where, keys = merge(value, {"runtime": meant}), where | lines, keys | set(meant)
    return Written(value, where, written.inherited, frozenset(keys))


def meant_for_others(entry: Named) -> set[str]:
    """The runtime fields that other entries of a section have, and this has not: one pattern may name all of them."""
    section = entry.path.partition("/")[0]
    kinds = methods.METHODS.values() if section == "models" else sections.KINDS[section]
    known = {field for kind in kinds for field in kind.model_fields["runtime"].annotation.model_fields}
    return known - set(type(entry.recipe.runtime).model_fields)


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
