"""The lock: what hub ids and wheels stand for (config/lock.yaml)."""

import re
from dataclasses import dataclass
from pathlib import Path

from posttrain.files import Refusal, write_text
from posttrain.recipes import page
from posttrain.words import did_you_mean


@dataclass(frozen=True)
class Pin:
    """What the names of a kind are pinned by."""

    what: str
    digits: int
    said: str  # of the whole kind
    name: str

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{self.digits}}}", value) is not None


COMMIT = Pin("commit", 40, "hub ids to commits", "org/name")
SHA256 = Pin("sha256", 64, "wheels to their sha256", "name==version")
KINDS = {"models": COMMIT, "datasets": COMMIT, "wheels": SHA256}


def parts(hub_id: str) -> tuple[str, str]:
    """The repository of a hub id, and the revision that it asks for: `org/name@it-SFT`, and `main` of `org/name`."""
    repository, _, revision = hub_id.partition("@")
    return repository, revision or "main"


def read(path: Path) -> dict[str, dict[str, str]]:
    """What pins each locked name, by kind: {"models": {id: commit}, …, "wheels": {"name==version": sha256}}."""
    lock, where = page.read(path) if path.exists() else ({}, {})
    for kind, pinned in lock.items():
        if kind not in KINDS:
            raise Refusal(f"{where[(kind,)]}: {kind}: no such key. {did_you_mean(kind, list(KINDS))}")
        pin = KINDS[kind]
        if not isinstance(pinned or {}, dict):
            raise Refusal(f"{where[(kind,)]}: {kind}: maps {pin.said}, as in `{pin.name}: <{pin.digits} hex digits>`")
        for name, value in (pinned or {}).items():
            if not pin.fits(value):
                line = where[(kind, name)]
                raise Refusal(f"{line}: {kind}.{name}: {value!r} is not a {pin.what} ({pin.digits} hex digits)")
    return {kind: lock.get(kind) or {} for kind in KINDS}


def write(path: Path, pins: dict[str, dict[str, str]]) -> None:
    """Write what pins each name, sorted; a kind of which nothing changed stays as it is, and so do other comments."""
    before = page.text_of(path) if path.exists() else ""
    text, held = before, read(path)
    for kind, pinned in pins.items():
        if pinned != held[kind]:
            text = page.with_section(path, text, kind, pinned)
    if text != before:
        write_text(path, text)
