"""What each picture of the guide shows, by docs/pictures.yaml."""

from pathlib import Path

import yaml

from posttrain.files import Refusal
from posttrain.words import did_you_mean

PAGE = Path("docs/pictures.yaml")


def read() -> dict[str, dict]:
    return yaml.load(PAGE.read_text(), yaml.CSafeLoader)


def picture(name: str) -> dict:
    """What the page says of a picture.

    Raises:
        Refusal: if it says nothing.
    """
    known = read()
    if name not in known:
        raise Refusal(f"{PAGE}: has no picture {name}. {did_you_mean(name, list(known))}".rstrip())
    return known[name]


def made_of(name: str) -> list[str]:
    """The targets whose figures or logs a picture shows; a lineage is drawn of the plan alone."""
    said = picture(name)
    lines = [f"models/{model}" for model, _ in said.get("lines", {}).values()]
    bars = [f"evals/{evaluation}" for evaluation, _ in said.get("bars", {}).values()]
    scores = [f"scores/{name}" for kind in ("spread", "choice") for name in said.get(kind, {}).values()]
    return sorted({*lines, *bars, *scores})
