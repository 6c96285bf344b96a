"""What each picture of the guide shows, by docs/pictures.yaml of a clone."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from posttrain.files import Refusal, digest
from posttrain.plan.lineage import lineage
from posttrain.recipes import faults, identity, page
from posttrain.recipes.fields import Entry
from posttrain.words import did_you_mean, dotted

PAGE = "docs/pictures.yaml"


def of_the_truth(scores: dict[str, str]) -> dict[str, str]:
    if "truth" not in scores:
        raise ValueError("has no truth: the scores that say which completions are right")
    return scores


Drawn = Annotated[dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]], Field(min_length=1)]


class Spread(Entry):
    """Scores of the same completions."""

    of: str = Field(description="the scores that are shown")
    truth: str = Field(description="those that say which completions are right")


class Picture(Entry):
    """A title, and what is drawn: one of the kinds, which are the other fields."""

    title: str = Field(description="what stands above it")
    lines: Drawn = Field({}, description="by its label a model, and a word of its trainer's")
    bars: Drawn = Field({}, description="by its label model/suite, and a figure")
    spread: Spread = Field(None, description="how scores lie of what is right and of what is wrong")
    choice: Annotated[dict[str, str], AfterValidator(of_the_truth)] = Field({}, description="by their labels scores")
    lineage: str = Field("", min_length=1, description="the target whose lineage it is")

    @model_validator(mode="after")
    def is_of_one_kind(self) -> "Picture":
        found = [kind for kind in KINDS if kind in self.model_fields_set]
        if len(found) != 1:
            raise ValueError(f"is {' and '.join(found) or 'nothing'}; a picture is one of {', '.join(KINDS)}")
        return self


KINDS = tuple(field for field in Picture.model_fields if field != "title")


@cache  # the rule of each picture asks it three times
def written(root: Path) -> tuple[dict, page.Where]:
    return page.read(root / PAGE)


def read(root: Path) -> dict[str, dict]:
    return written(root)[0]


def picture(root: Path, name: str) -> dict:
    """What the page says of a picture. Raises: Refusal, if that is nothing that can be drawn."""
    known, where = written(root)
    if name not in known:
        raise Refusal(f"{PAGE}: has no picture {name}. {did_you_mean(name, list(known))}".rstrip())
    said = known[name] or {}
    try:
        Picture.model_validate(said)
    except ValidationError as error:
        key, why = next(iter(faults.of(Picture, said, error, frozenset(), frozenset()).items()))
        line = where.get((name, *key), where[name,])
        raise Refusal(f"{line}: {dotted((name, *key))}: {why}") from None
    return said


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
