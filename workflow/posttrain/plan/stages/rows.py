"""Rows that are read or made, not sampled; and the split of rows that a recipe asks for."""

from dataclasses import replace
from pathlib import Path

from posttrain.data import generators
from posttrain.plan.stages.functions import arguments
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import sources
from posttrain.recipes.catalogue import Named
from posttrain.recipes.names import HUB_ID
from posttrain.words import did_you_mean

FORMS = (".jsonl", ".json", ".parquet", ".csv")
SAVED = ("dataset_dict.json", "dataset_info.json")  # what save_to_disk leaves in a folder


def mixed(plan: Targets, entry: Named) -> Target:
    """A data or preference set of sources, one after the other."""
    kind = "data" if isinstance(entry.recipe, sources.Data) else "preferences"
    recipe = entry.recipe.model_dump(exclude={"runtime"}) | ({"fewer": True} if plan.stand_ins else {})
    made = Target(entry.path, f"mix_{kind}", {}, runtime=entry.recipe.runtime.model_dump())
    for split in ("sources", "test"):
        recipe[split] = [placed(plan, entry, made, (split, i)) for i in range(len(recipe[split]))]
    if entry.recipe.decontaminate:
        for i, name in enumerate(entry.recipe.decontaminate.against):
            made.inputs[f"against.{i}"] = plan.known(entry, ("decontaminate", "against", i), f"data/{name}")
    return replace(made, own=recipe)


def placed(plan: Targets, entry: Named, made: Target, at: tuple) -> dict:
    """A source less its place, which becomes an input or a file of the target, and the form of what lies there."""
    split, i = at
    source, role = getattr(entry.recipe, split)[i], f"{split}.{i}"
    form = "generator"
    if source.path:
        made.files[role], form = existing(plan, entry, at, source.path)
    elif source.hub:
        if not HUB_ID.fullmatch(source.hub):
            raise entry.refuse((*at, "hub"), f"{source.hub!r} is not a hub id (org/name)")
        made.inputs[role], form = plan.hub("datasets", source.hub, source.files), "hub"
    elif source.target:
        made.inputs[role], form = rows_of(plan, entry, at, source), "target"
    if place := source.path or source.hub or source.target:
        made.names[role] = place
    said = source.model_dump(exclude={"path", "hub", "target"}) | {"form": form}
    said["where"] = {name: sources.listed(value) for name, value in (source.where or {}).items()}
    if source.generator:
        said["args"] = arguments(entry, at, "generator", generators.KNOWN, generators.CHECKS)
    return said


def rows_of(plan: Targets, entry: Named, at: tuple, source: sources.Source) -> str:
    """Another set, of which a source takes rows."""
    kind = source.target.partition("/")[0]
    if kind not in ("data", "preferences"):
        raise entry.refuse((*at, "target"), f"{source.target!r}: rows are those of data/<name> or preferences/<name>")
    path = plan.known(entry, (*at, "target"), source.target)
    if source.split == "test" and (mend := without_test(plan.all[path], "say `split: train`")):
        raise entry.refuse((*at, "split"), f"{path} has no split test; {mend}")
    if source.split not in ("train", "test"):
        raise entry.refuse((*at, "split"), f"{source.split!r}: a target has the splits train and test")
    return path


def existing(plan: Targets, entry: Named, at: tuple, path: str) -> tuple[str, str]:
    """A file or a saved dataset outside the build, and its form."""
    place, key = plan.here / Path(path).expanduser(), (*at, "path")
    if place.is_dir() and any((place / name).is_file() for name in SAVED):
        return str(place), "saved"
    if place.is_dir():
        raise entry.refuse(key, f"{path} is a folder, and none that save_to_disk has written; name a file")
    if not place.is_file():
        raise entry.refuse(key, no_file(plan, place, path))
    if place.suffix not in FORMS:
        raise entry.refuse(key, f"{path}: rows are read from {', '.join(FORMS)}")
    return str(place), place.suffix


def no_file(plan: Targets, place: Path, path: str) -> str:
    """What is to be said of a path where no file is."""
    near = [str(file.relative_to(plan.here)) for form in FORMS for file in sorted(place.parent.glob(f"*{form}"))]
    hint = did_you_mean(path, near) if near else f"It is looked for in {place.parent.resolve()}"
    return f"there is no file {path}. {hint}"


def split_of(plan: Targets, entry: Named, key: str, kind: str) -> str:
    """The rows that a field names, which have the split that the recipe asks for."""
    path = plan.named_by(entry, key, kind)
    if entry.recipe.split == "test" and (mend := without_test(plan.all[path], "say `split: train`")):
        said = "split" if ("split",) in entry.where else key
        raise entry.refuse((said,), f"{path} has no split test; {mend}")
    return path


def without_test(rows: Target, otherwise: str) -> str | None:
    """What to do about rows that have no test split; None if they have one."""
    if rows.stage.startswith("select_"):
        return f"what is selected is all for training: {otherwise}"
    if rows.stage == "adopt_folder":
        there = Path(rows.files["folder"], "test.parquet").is_file()
        return None if there else f"add a test.parquet to {rows.files['folder']}, or {otherwise}"
    return None if rows.own["test"] else f"give it `test:` sources, or {otherwise}"
