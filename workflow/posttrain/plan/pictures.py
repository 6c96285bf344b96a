"""What each picture of the guide shows, by docs/pictures.yaml of a clone."""

from pathlib import Path

import yaml

from posttrain.files import Refusal, digest
from posttrain.plan.lineage import lineage
from posttrain.recipes import identity
from posttrain.words import did_you_mean

PAGE = "docs/pictures.yaml"
KINDS = ("lines", "bars", "spread", "choice", "lineage")  # of which a picture is one


def read(root: Path) -> dict[str, dict]:
    return yaml.load((root / PAGE).read_text(), yaml.CSafeLoader)


def picture(root: Path, name: str) -> dict:
    """What the page says of a picture.

    Raises:
        Refusal: if it says nothing, or no kind that there is.
    """
    known = read(root)
    if name not in known:
        raise Refusal(f"{PAGE}: has no picture {name}. {did_you_mean(name, list(known))}".rstrip())
    if len(found := [key for key in known[name] if key != "title"]) != 1 or found[0] not in KINDS:
        raise Refusal(f"{PAGE}: {name}: is {' and '.join(found) or 'nothing'}; a picture is one of {', '.join(KINDS)}")
    return known[name]


def made_of(said: dict) -> list[str]:
    """The targets whose figures or logs a picture shows; a lineage is drawn of the plan alone."""
    lines = [f"models/{model}" for model, _ in said.get("lines", {}).values()]
    bars = [f"evals/{evaluation}" for evaluation, _ in said.get("bars", {}).values()]
    scores = [f"scores/{name}" for kind in ("spread", "choice") for name in said.get(kind, {}).values()]
    return sorted({*lines, *bars, *scores})


def drawn_of(targets: dict[str, dict], said: dict) -> str:
    """The digest of what a picture is drawn of that no file says: its entry, and of a lineage what the plan has."""
    made = {}
    if path := said.get("lineage"):
        if path not in targets:
            raise Refusal(f"{PAGE}: no recipe makes {path}. {did_you_mean(path, list(targets))}")
        made = {above: targets[above] for above in lineage(targets, path)}
    return digest([said, {above: [at["identity"], identity.counted(at["inputs"])] for above, at in made.items()}])
