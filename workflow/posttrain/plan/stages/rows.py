"""Rows that are read or made, not sampled."""

from inspect import signature
from pathlib import Path

from posttrain.data import generators
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
                known_generator(entry, split, i)
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


def known_generator(entry: Named, split: str, i: int) -> None:
    source = getattr(entry.recipe, split)[i]
    known = list(generators.KNOWN)
    if source.generator not in known:
        hint = did_you_mean(source.generator, known)
        raise entry.refuse((split, i, "generator"), f"there is no generator {source.generator!r}. {hint}")
    takes = list(signature(generators.KNOWN[source.generator]).parameters)
    for name in source.args:
        if name not in takes:
            raise entry.refuse((split, i, "args", name), f"no such argument. {did_you_mean(name, takes)}")


def existing(entry: Named, split: str, i: int, path: str) -> str:
    place = Path(path).expanduser()
    if not place.is_file():
        near = [str(file) for form in FORMS for file in sorted(place.parent.glob(f"*{form}"))]
        raise entry.refuse((split, i, "path"), f"there is no file {path}. {did_you_mean(path, near)}")
    if place.suffix not in FORMS:
        raise entry.refuse((split, i, "path"), f"{path}: rows are read from {', '.join(FORMS)}")
    return str(place)
