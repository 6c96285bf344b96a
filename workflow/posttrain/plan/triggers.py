"""Triggers: one small file a target, rewritten exactly when what stands at the target is not what is planned.

Snakemake compares it by its checksum, so it works where Snakemake's own records are lost, and a comment in a
recipe costs nothing.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posttrain.build.store import whole
from posttrain.files import Refusal, digest, read_json, write_json
from posttrain.recipes import identity


def path_of(path: str) -> str:
    return f".posttrain/recipes/{path}.json"


def prepare(targets: dict[str, dict]) -> None:
    """Give every target a trigger, and take away links to nothing, which Snakemake trips over.

    Snakemake lists a folder once, and would not see what is done after that.
    """
    for path, target in targets.items():
        link, file = Path(path), Path(path_of(path))
        if link.is_symlink() and not link.exists():
            link.unlink()
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"identity": digest(target["identity"]), "replaces": None}, durable=False)


def stale(manifest: dict, own: dict, planned: dict, parts: dict) -> bool:
    """Whether a manifest is another's: of another identity, or, where the key is known, made from other bytes."""
    if manifest.get("identity") != planned:
        return True
    if None in parts.values():
        return False
    return manifest.get("key") != identity.key(own, parts, manifest.get("environment", ""))


def update(path: str, target: dict, environments: dict[str, dict]) -> None:
    """Rewrite a target's trigger if it must be made, and say why."""
    name = target["environment"]
    there, manifest, file = Path(f"{path}.json"), read_json(f"{path}.json"), path_of(path)
    link = Path(path)
    if link.is_dir() and not link.is_symlink() and not copied(link, manifest):  # Snakemake would delete it
        raise Refusal(f"{path} is a folder that posttrain did not make; move it away, or name it under `use:`")
    stands = there if there.exists() else link  # Snakemake asks for one of the two, and is content without the other
    old = os.path.lexists(stands) and stale(manifest, target["own"], target["identity"], target["contents"])
    moved = os.path.lexists(stands) and not (points_to(link, manifest.get("key")) and whole(link, manifest))
    replaces = None
    if old or moved:
        # A text no job can have recorded: else a dry run while a job is pending hides the change from the next run.
        replaces = [manifest.get("key"), stands.lstat().st_mtime_ns]
    said, planned = read_json(file), digest(target["identity"])
    if said.get("identity") != planned or (replaces and said.get("replaces") != replaces):
        write_json(file, {"identity": planned, "replaces": replaces})
    if old:
        print(f"{path}: {', '.join(reasons(manifest, target))}", file=sys.stderr)
    elif manifest and manifest.get("environment") != environments[name]["digest"]:
        print(f"{path}: made with another envs/{name}.lock; it stays (delete it to build it anew)", file=sys.stderr)


def copied(folder: Path, manifest: dict) -> bool:
    """Whether a folder is a copy of the manifest's artifact, by its names and sizes."""
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return sizes == manifest.get("sizes")


def points_to(link: Path, key: str | None) -> bool:
    return link.is_symlink() and link.readlink().parent.name == key


def reasons(manifest: dict, target: dict) -> list[str]:
    """What differs between what stands and what is planned: `train.beta 0.1 → 0.2`."""
    if not manifest:
        return ["its manifest is missing or broken"]
    was, planned = manifest.get("identity", {}), target["identity"]
    if was.get("stage") != planned["stage"]:  # whose fields are others
        return [f"stage {shown(was.get('stage'))} → {planned['stage']}"]
    fields = list(changes(was, planned))
    inputs, names = manifest.get("inputs", {}), {**target["inputs"], **target["files"]}
    for role, content in target["contents"].items():
        if content and inputs.get(role) != content:
            fields.append(f"{names.get(role, role)} has other content")
    whole = None not in target["contents"].values()
    return fields or (["its key is not its recipe's"] if whole else [])


def changes(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """The leaves in which two values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from changes(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from changes(a, b, f"{at}.{i}")
    elif old != new:
        yield f"{at} {shown(old)} → {shown(new)}"


def shown(value: Any) -> str:
    return "unset" if value is None else str(value)
