"""What can be told of a record before anything is built."""

import re
from collections.abc import Iterable, Iterator

from posttrain.build import environments, record, store
from posttrain.build.ancestry import outside
from posttrain.files import Refusal, place_digest, read_json
from posttrain.plan.frozen import NAMED
from posttrain.plan.opened import Plan
from posttrain.plan.triggers import changes
from posttrain.recipes import identity

PART = r"[A-Za-z0-9][\w.@=,+-]*"
TARGET = re.compile(rf"{PART}(/{PART})+", re.ASCII)
KIND = ("machine", "cpu", "gpus")  # of the hardware: what sums are rounded by
Lineage = dict[str, dict]


def lineage_of(plan: Plan, path: str) -> Lineage:
    """The record of a target and of all that it was made from. Raises: Refusal, if there is none."""
    manifest, run = read_json(f"{path}.json"), read_json(f"{path}.run.json")
    if not manifest:
        if path not in plan.targets:
            raise plan.suggest(path)
        raise Refusal(f"{path}: there is no {path}.json that says what it was; build it first")
    if not (lineage := run.get("lineage")):
        raise Refusal(
            f"{path}: {path}.run.json does not say what it was made from, for it was built before that was recorded; "
            f"move {plan.store.entry(manifest['key'])} away, delete {path}.json, and build it again"
        )
    for name, stage in lineage.items():  # of another's record, perhaps; they become paths and words of a shell's line
        if not TARGET.fullmatch(name) or stage["target"]["stage"] not in identity.VERSIONS:
            raise Refusal(f"{path}.run.json: lineage: {name!r}, by {stage['target']['stage']!r}, is no target of ours")
    *_, built_as = lineage  # a twin's name, if the store had it of one
    return {**lineage, built_as: lineage[built_as] | {"manifest": manifest}}


def made(lineage: Lineage) -> Lineage:
    """The stages of which it is recorded what they made."""
    return {path: stage for path, stage in lineage.items() if "files" in stage["manifest"]}


def not_compared(lineage: Lineage) -> str:
    """The end of a verdict: the stages that it says nothing of, for their record does not say what they made."""
    left = [path for path in lineage if path not in made(lineage)]
    said = f"; {len(left)} more are compared with nothing, for what they made is not recorded: {', '.join(left)}"
    return said if left else ""


def notes(plan: Plan, lineage: Lineage) -> list[str]:
    """What is worth knowing, and keeps nothing from being built again."""
    code, machine = record.git(plan.root), record.hardware()
    said = ((path, what) for path, stage in lineage.items() for what in notes_of(path, stage, plan, code, machine))
    return gathered(said)


def notes_of(path: str, stage: dict, plan: Plan, code: dict, machine: dict) -> Iterator[str]:
    planned, target, run = plan.targets.get(path), stage["target"], stage["run"]
    if planned and (fields := ", ".join(changed(target, planned))):
        yield f"{fields} in its recipe since it was built; verified is what was built"
    elif not planned and path.split("/")[0] in NAMED:
        yield "no recipe makes it any more; verified is what was built"
    for hub_id in target["unlocked"]:
        yield f"descends from {hub_id}, which had no commit in config/lock.yaml and may be another by now"
    if run.get("git", code) != code:
        yield f"was made by {commit(run['git'])}, and here is {commit(code)}"
    if unlike(run.get("hardware", {}), machine):
        yield f"was made on {named(run['hardware'])}, and here is {named(machine)}: equal bytes are for like hardware"


def changed(was: dict, planned: dict) -> Iterator[str]:
    """The fields of its recipe in which a stage is planned otherwise than it was built."""
    if was["stage"] != planned["stage"]:
        yield f"{was['stage']} → {planned['stage']}"
        return
    version = {"version": planned["own"]["version"]}  # of our code, and no field of a recipe
    yield from changes(was["own"] | was["names"] | version, planned["identity"])


def faults(plan: Plan, lineage: Lineage) -> list[str]:
    """What keeps a stage from being made again as it was, or was damaged since."""
    has = {name: versions(plan, name) for name in {stage["target"]["environment"] for stage in lineage.values()}}
    said = ((path, what) for path, stage in lineage.items() for what in faults_of(stage, plan, has))
    return gathered(said)


def faults_of(stage: dict, plan: Plan, has: dict[str, dict | str]) -> Iterator[str]:
    target = stage["target"]
    for file, was in outside(stage).values():
        found = place_digest(file) if file.exists() else None
        if found != was:
            yield f"{file} is not what it was: its digest was {was}, and {f'is {found}' if found else 'it is gone'}"
    version = identity.VERSIONS[target["stage"]]
    if target["own"]["version"] != version:
        yield f"was made by version {target['own']['version']} of {target['stage']}, and this checkout has {version}"
    if had := stage["run"].get("versions"):
        yield from other_software(had, has[target["environment"]])
    if why := damaged(plan, stage["manifest"]):
        yield why


def versions(plan: Plan, environment: str) -> dict[str, str] | str:
    """Those that are installed in an environment; or why it is not here."""
    place = environment, plan.site, plan.root
    return environments.lacking(*place) or environments.find(*place).versions


def other_software(had: dict[str, str], now: dict[str, str] | str) -> Iterator[str]:
    if isinstance(now, str):
        yield now
        return
    for package in sorted({*had, *now}):
        if had.get(package) != now.get(package):
            yield f"was made with {shown(package, had)}, and installed is {shown(package, now)}"


def damaged(plan: Plan, manifest: dict) -> str | None:
    """The first file of a stored artifact that is not what its record says."""
    entry = plan.store.entry(manifest.get("key", ""))
    if "files" not in manifest or not entry.exists():
        return None
    try:
        kept = store.verify(entry)["files"]
    except store.Corrupt as fault:
        return f"{entry} is damaged: {fault}"
    other = next(
        (name for name in sorted({*kept, *manifest["files"]}) if kept.get(name) != manifest["files"].get(name)), ""
    )
    return f"{entry / 'files' / other} is not what its record says" if other else None


def gathered(said: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each thing that is said of stages, with the first that it is said of."""
    of: dict[str, list[str]] = {}
    for path, what in said:
        of.setdefault(what, []).append(path)
    return [f"{first}: {what}{f' (and {len(more)} stages more)' * bool(more)}" for what, (first, *more) in of.items()]


def unlike(was: dict, now: dict) -> bool:
    """Whether two machines are known to be of another kind; a run record of old does not name its CPU."""
    return any(name in was and name in now and set_of(was[name]) != set_of(now[name]) for name in KIND)


def set_of(said: str | list[str]) -> set[str]:
    """Of how many GPUs is a job's own affair."""
    return set(said) if isinstance(said, list) else {said}


def named(hardware: dict) -> str:
    return ", ".join(sorted(set(hardware["gpus"]))) or hardware.get("cpu") or hardware["machine"]


def commit(git: dict) -> str:
    changes = f" with changes ({git['dirty'][:8]})" if git["dirty"] else ""
    return f"commit {git['commit'][:12]}{changes}" if git["commit"] else "no commit"


def shown(package: str, versions: dict[str, str]) -> str:
    return f"{package} {versions[package]}" if package in versions else f"no {package}"
