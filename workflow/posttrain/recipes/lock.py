"""The lock: hub ids and the commits they stand for (config/lock.yaml)."""

import re
from pathlib import Path

from posttrain.files import Refusal
from posttrain.recipes import page
from posttrain.words import did_you_mean

KINDS = ("models", "datasets")
COMMIT = re.compile(r"[0-9a-f]{40}")


def read(path: Path) -> dict[str, dict[str, str]]:
    """The commit of each locked id, by kind: {"models": {id: commit}, "datasets": {id: commit}}."""
    lock, where = page.read(path) if path.exists() else ({}, {})
    for kind, commits in lock.items():
        if kind not in KINDS:
            raise Refusal(f"{where[(kind,)]}: {kind}: no such key. {did_you_mean(kind, list(KINDS))}")
        if not isinstance(commits or {}, dict):
            raise Refusal(f"{where[(kind,)]}: {kind}: maps hub ids to commits, as in `org/name: <40 hex digits>`")
        for name, commit in (commits or {}).items():
            if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
                raise Refusal(f"{where[(kind, name)]}: {kind}.{name}: {commit!r} is not a commit (40 hex digits)")
    return {kind: lock.get(kind) or {} for kind in KINDS}
