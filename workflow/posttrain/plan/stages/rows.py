"""Rows that are read or made, not sampled; and the split of rows that a recipe asks for."""

from pathlib import Path

from posttrain.data import generators
from posttrain.plan.stages.functions import arguments
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import sections
from posttrain.recipes.catalogue import HUB_ID, Named
from posttrain.words import did_you_mean

FORMS = (".jsonl", ".json", ".parquet", ".csv")


def mixed(plan: Targets, entry: Named) -> Target:
    """A data or preference set of sources, one after the other."""
    stage = "mix_data" if isinstance(entry.recipe, sections.Data) else "mix_preferences"
    recipe = entry.recipe.model_dump(exclude={"runtime"})
    names, inputs, files = {}, {}, {}
    for split in ("sources", "test"):
        for i, source in enumerate(recipe[split]):
            role = f"{split}.{i}"
            if source["generator"]:
                source["args"] = arguments(entry, (split, i), "generator", generators.KNOWN)
            if source["path"]:
                files[role] = existing(entry, split, i, source["path"])
            elif source["hub"]:
                if not HUB_ID.fullmatch(source["hub"]):
                    raise entry.refuse((split, i, "hub"), f"{source['hub']!r} is not a hub id (org/name)")
                inputs[role] = plan.hub("datasets", source["hub"])
            if place := source.pop("path") or source.pop("hub"):
                names[role] = place
            source.pop("hub", None)
            source["form"] = Path(files[role]).suffix if role in files else "hub" if role in inputs else "generator"
    return Target(entry.path, stage, recipe, names, inputs, files, runtime=entry.recipe.runtime.model_dump())


def existing(entry: Named, split: str, i: int, path: str) -> str:
    place = Path(path).expanduser()
    if not place.is_file():
        near = [str(file) for form in FORMS for file in sorted(place.parent.glob(f"*{form}"))]
        hint = did_you_mean(path, near) if near else f"It is looked for in {place.parent.resolve()}"
        raise entry.refuse((split, i, "path"), f"there is no file {path}. {hint}")
    if place.suffix not in FORMS:
        raise entry.refuse((split, i, "path"), f"{path}: rows are read from {', '.join(FORMS)}")
    return str(place)


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
