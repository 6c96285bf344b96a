"""The site's overlay, config/site.yaml: where and how fast, never what."""

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posttrain.files import Refusal
from posttrain.recipes import page, sections
from posttrain.recipes.environments import APART
from posttrain.recipes.gpus import GPUS
from posttrain.recipes.page import Where
from posttrain.words import did_you_mean

KEYS = ("store", "account", "partition", "gpu", "environments", "runtime")


@dataclass(frozen=True)
class Site:
    said: dict[str, Any]
    where: Where

    @property
    def patterns(self) -> dict[str, dict]:
        return self.said.get("runtime", {})

    def runtimes(self, path: str) -> Iterator[tuple[dict, Where]]:
        """The runtime fields that each pattern of a target says, and where: of several patterns the last wins."""
        for pattern, said in self.patterns.items():
            if fnmatch.fnmatchcase(path, whole_path(pattern)):
                at = ("runtime", pattern)
                yield said, {("runtime", *key[2:]): line for key, line in self.where.items() if key[:2] == at}

    def refuse_idle(self, paths: Iterable[str]) -> None:
        """Raises: Refusal, if a pattern is of no entry of the catalogue."""
        paths = list(paths)
        for pattern in self.patterns:
            if not fnmatch.filter(paths, whole_path(pattern)):
                hint, line = did_you_mean(whole_path(pattern), paths), self.where[("runtime", pattern)]
                raise Refusal(f"{line}: runtime.{pattern}: is the name of no recipe. {hint}")


def read(path: Path) -> Site:
    if not path.exists():
        return Site({}, {})
    said, where = page.read(path)
    for key in said:
        if key not in KEYS:
            hint = did_you_mean(key, list(KEYS))
            raise Refusal(f"{where[(key,)]}: {key}: no such key. {hint} (a site says where, never what)")
    for key in ("store", "account", "partition", "gpu"):
        if not isinstance(said.get(key, ""), str):
            raise Refusal(f"{where[(key,)]}: {key}: {said[key]!r}: a word is wanted; write it in quotes")
    if "gpu" in said and said["gpu"] not in GPUS:
        raise Refusal(f"{where[('gpu',)]}: gpu: no {said['gpu']} is known. {did_you_mean(said['gpu'], list(GPUS))}")
    check_environments(said, where)
    patterns = said.get("runtime", {})
    if not isinstance(patterns, dict) or not all(isinstance(value, dict) for value in patterns.values()):
        raise Refusal(f"{where[('runtime',)]}: runtime: maps patterns of names to runtime fields")
    for pattern in patterns:
        section = whole_path(pattern).split("/")[0]
        if not fnmatch.filter(sections.SECTIONS, section):
            hint = did_you_mean(section, list(sections.SECTIONS))
            raise Refusal(f"{where[('runtime', pattern)]}: runtime.{pattern}: no such section. {hint}")
    return Site(said, where)


def check_environments(said: dict, where: Where) -> None:
    places = said.get("environments", {})
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise Refusal(f"{where[('environments',)]}: environments: maps names to a folder or an image")
    for name in places:
        if name not in APART:
            hint = did_you_mean(name, list(APART))
            raise Refusal(f"{where[('environments', name)]}: environments.{name}: no such environment. {hint}")


def whole_path(pattern: str) -> str:
    """A pattern as one of targets: `evals/*` is one, and `zephyr-*` is of models."""
    return pattern if "/" in pattern else f"models/{pattern}"
