"""`posttrain lock`: every hub id that the recipes name gets the commit that it stands for."""

from collections.abc import Iterator
from pathlib import Path

from posttrain.files import Refusal
from posttrain.hub.asking import commit_of
from posttrain.recipes import lock
from posttrain.words import did_you_mean

LOCK = Path("config/lock.yaml")


def pin(named: dict[str, list[str]], asked: list[str], update: bool, prune: bool) -> Iterator[str]:
    """Write the commits of hub ids to the lock; a line for each that is written or could go.

    Args:
        named: the ids that the recipes name, by kind.
        asked: those of them that are wanted; all if there is none.
        update: look up those too that have a commit.
        prune: take away the entries that no recipe names.

    Raises: Refusal, with a line for each id that the hub did not resolve, when all others are written.
    """
    refuse_unnamed(named, asked)
    commits, refused = lock.read(LOCK), []
    gone = [(kind, hub_id) for kind, known in named.items() for hub_id in commits[kind] if hub_id not in known]
    try:
        for kind, hub_id in wanted(named, asked, {} if update else commits):
            try:
                new = commit_of(kind, *lock.parts(hub_id))
            except Refusal as refusal:
                refused.append(str(refusal))
                continue
            if new != (old := commits[kind].get(hub_id)):
                commits[kind][hub_id] = new
                yield f"{hub_id}  {old or 'unlocked'} → {new}"
        for kind, hub_id in gone:
            if prune:
                del commits[kind][hub_id]
            yield f"{hub_id}  is named by no recipe{'; taken away' if prune else '; --prune takes it away'}"
    finally:
        lock.write(LOCK, commits)
    if refused:
        raise Refusal("\n".join(refused))


def refuse_unnamed(named: dict[str, list[str]], asked: list[str]) -> None:
    known = sorted({*named["models"], *named["datasets"]})
    for hub_id in asked:
        if hub_id not in known:
            raise Refusal(f"{hub_id}: no recipe names this hub id. {did_you_mean(hub_id, known)}")


def wanted(named: dict[str, list[str]], asked: list[str], held: dict[str, dict]) -> Iterator[tuple[str, str]]:
    """The kind and id of what is to be looked up: not what has a commit, nor what says its own."""
    for kind, hub_ids in named.items():
        for hub_id in hub_ids:
            own = lock.COMMIT.fits(lock.parts(hub_id)[1])
            if (not asked or hub_id in asked) and not own and hub_id not in held.get(kind, {}):
                yield kind, hub_id
