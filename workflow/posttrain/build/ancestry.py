"""What an artifact and all before it were made of and by: enough to make them again with nothing else at hand."""

from pathlib import Path

from posttrain.build import store
from posttrain.files import digest, read_json

TARGET = ("stage", "own", "inputs", "files", "texts", "unlocked", "environment")
MANIFEST = ("key", "inputs", "files")
RUN = ("versions", "hardware", "git")


def lineage(targets: dict[str, dict], path: str, manifest: dict, run: dict) -> dict[str, dict]:
    """A record of each stage that led to a target which was just made, inputs before what is made of them.

    What led to an input its own record says, and not what stands at those paths by now: the store may have given the
    input back without them, and they may have been made otherwise since. Of an input that was built before that was
    recorded, or that was itself made otherwise while this was made of it, and of what led to it, the plan alone is
    known.

    Args:
        targets: those of the plan.
        manifest: the target's, which does not stand yet.
        run: its run record.
    """
    found: dict[str, dict] = {}
    inputs = {}
    for role, made in targets[path]["inputs"].items():
        read = manifest["inputs"].get(role)
        inputs[role] = add(found, recorded(made, targets[path]["stage"], read) or planned(targets, made, {}))
    add(found, {path: of_stage(targets[path] | {"inputs": inputs}, manifest, run)})
    return found


def recorded(path: str, stage: str, read: str | None) -> dict[str, dict]:
    """What the record of an input says of all that led to it; {} if it does not, or is not of what was read.

    Args:
        stage: what reads it.
        read: the digest of what that read, which it does not say of a shard.
    """
    said = read_json(f"{path}.run.json").get("lineage", {})
    manifest = read_json(f"{path}.json")  # written after the record
    is_of_it = said and [*said.values()][-1]["manifest"]["key"] == manifest.get("key")
    return said if is_of_it and read in (None, store.read_by(stage, manifest)) else {}


def planned(targets: dict[str, dict], path: str, found: dict[str, dict]) -> dict[str, dict]:
    """The stages that lead to a target of which nothing is recorded, added to those that were found."""
    if path not in found:
        for made in targets[path]["inputs"].values():
            planned(targets, made, found)
        found[path] = of_stage(targets[path], {}, {})
    return found


def add(found: dict[str, dict], other: dict[str, dict]) -> str:
    """Add another lineage to one; what its last stage is called there.

    A stage is called as it was when it was made, elsewhere perhaps or before an edit: one of whose name is another
    stage gets its key as a surname, or if that is not known its target's digest.
    """
    called: dict[str, str] = {}
    for name, stage in other.items():
        inputs = {role: called.get(above, above) for role, above in stage["target"]["inputs"].items()}
        stage = stage | {"target": stage["target"] | {"inputs": inputs}}
        surname = stage["manifest"].get("key") or digest(stage["target"])
        called[name] = name if same(found.get(name, stage), stage) else f"{name}@{surname}"
        if called[name] not in found or "files" not in found[called[name]]["manifest"]:
            found[called[name]] = stage
    return called[name]


def same(one: dict, other: dict) -> bool:
    """Whether two stages of a name are one: they made the same, or where one's files are not known, were to."""
    made, other_made = (stage["manifest"].get("files") for stage in (one, other))
    if made and other_made:
        return made == other_made
    return one["target"] | {"runtime": {}} == other["target"] | {"runtime": {}}


def of_stage(target: dict, manifest: dict, run: dict) -> dict:
    """What a stage was planned as, what it made, and by what."""
    names = {key: value for key, value in target["identity"].items() if target["own"].get(key) != value}
    planned = {name: target[name] for name in TARGET} | {"names": names}
    return {
        "target": planned | {"runtime": run.get("launch", target["runtime"])},
        "manifest": {name: manifest[name] for name in MANIFEST if name in manifest},
        "run": {name: run[name] for name in RUN if name in run},
    }


def outside(stage: dict) -> dict[str, tuple[Path, str]]:
    """The files outside the build that a recorded stage reads, each with the digest that it had, by role."""
    digests = stage["manifest"].get("inputs", {})
    return {role: (Path(path), digests[role]) for role, path in stage["target"]["files"].items() if role in digests}
