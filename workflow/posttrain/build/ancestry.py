"""What an artifact and all before it were made of and by: enough to make them again with nothing else at hand."""

from pathlib import Path

from posttrain.files import read_json

TARGET = ("stage", "own", "inputs", "files", "texts", "unlocked", "environment")
MANIFEST = ("key", "inputs", "files")
RUN = ("versions", "hardware", "git")


def lineage(targets: dict[str, dict], path: str, manifest: dict, run: dict) -> dict[str, dict]:
    """A record of each stage that led to a target which was just made, inputs before what is made of them.

    Args:
        targets: those of the plan.
        manifest: the target's, which does not stand yet; those of what it is made from do, unless it was restored
            without them.
        run: its run record.
    """
    found: dict[str, dict] = {}

    def add(above: str) -> None:
        if above not in found:
            for made in targets[above]["inputs"].values():
                add(made)
            mine = (manifest, run) if above == path else (read_json(f"{above}.json"), read_json(f"{above}.run.json"))
            found[above] = of_stage(targets[above], *mine)

    add(path)
    return found


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
