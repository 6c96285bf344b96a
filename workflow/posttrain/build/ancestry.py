"""What an artifact and all before it were made of and by: enough to make them again with nothing else at hand."""

from pathlib import Path

from posttrain.files import read_json

TARGET = ("stage", "own", "inputs", "files", "texts", "unlocked", "environment")
MANIFEST = ("key", "inputs", "files")
RUN = ("versions", "hardware", "git")


def lineage(targets: dict[str, dict], path: str, manifest: dict, run: dict) -> dict[str, dict]:
    """A record of each stage that led to a target which was just made, inputs before what is made of them.

    What led to an input its own record says, and not what stands at those paths by now: the store may have given the
    input back without them, and they may have been made otherwise since. Of an input that was built before that was
    recorded, and of what led to it, the plan alone is known.

    Args:
        targets: those of the plan.
        manifest: the target's, which does not stand yet; {} of one that nothing is known of, as nothing is of what led
            to it.
        run: its run record.
    """
    found: dict[str, dict] = {}
    inputs = {}
    for role, made in targets[path]["inputs"].items():
        said = read_json(f"{made}.run.json").get("lineage") if manifest else None
        inputs[role] = add(found, said or lineage(targets, made, {}, {}))
    add(found, {path: of_stage(targets[path] | {"inputs": inputs}, manifest, run)})
    return found


def add(found: dict[str, dict], other: dict[str, dict]) -> str:
    """Add another lineage to one; what its last stage is called there.

    A stage is called as it was when it was made, elsewhere perhaps or before an edit: one of whose name is another
    stage gets its key as a surname.
    """
    called: dict[str, str] = {}
    for name, stage in other.items():
        target, made = stage["target"], stage["manifest"]
        inputs = {role: called.get(above, above) for role, above in target["inputs"].items()}
        files = found.get(name, stage)["manifest"].get("files")
        called[name] = name if made.get("files") in (None, files) else f"{name}@{made['key']}"
        found.setdefault(called[name], stage | {"target": target | {"inputs": inputs}})
    return called[name]


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
