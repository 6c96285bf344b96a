"""What can be told of a record before anything is built."""

import re
from collections.abc import Iterable, Iterator

from posttrain.build import environments, record, store
from posttrain.build.ancestry import outside
from posttrain.files import Refusal, place_digest, read_json
from posttrain.plan.opened import Plan
from posttrain.plan.triggers import changes
from posttrain.recipes import identity

PART = r"[A-Za-z0-9][\w.@=,+-]*"
TARGET = re.compile(rf"{PART}(/{PART})+", re.ASCII)
KIND = ("machine", "cpu", "gpus")  # of the hardware: what sums are rounded by
Lineage = dict[str, dict]
Software = dict[str, dict[str, str] | str]


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


def notes(plan: Plan, lineage: Lineage, software: Software) -> list[str]:
    """What is worth knowing, and keeps nothing from being built again."""
    code, machine = record.git(plan.root), record.hardware()
    said = ((path, what) for path, stage in lineage.items() for what in notes_of(stage, code, machine, software))
    return gathered(said)


def edits(plan: Plan, lineage: Lineage, path: str) -> list[str]:
    """What the recipes of a target, and of what it was made of, say otherwise since it was built."""
    if path not in plan.targets:
        return [f"{path}: no recipe makes it any more; verified is what was built"]
    said = {name: ", ".join(changed(lineage[name], planned)) for name, planned in still(plan, lineage, path).items()}
    return [
        f"{name}: {fields} in its recipe since it was built; verified is what was built"
        for name, fields in said.items()
        if fields
    ]


def still(plan: Plan, lineage: Lineage, path: str) -> dict[str, dict]:
    """The targets of this plan that recorded stages are, in the order of the record.

    Those are reached from the asked one by the same names in the same roles: what else has a target's name was called
    so in another checkout.
    """
    *_, built_as = lineage
    found = {built_as: plan.targets[path]}

    def add(name: str) -> None:
        for role, made in lineage[name]["target"]["inputs"].items():
            if made not in found and found[name]["inputs"].get(role) == made:
                found[made] = plan.targets[made]
                add(made)

    add(built_as)
    return {name: found[name] for name in lineage if name in found}


def notes_of(stage: dict, code: dict, machine: dict, software: Software) -> Iterator[str]:
    target, run = stage["target"], stage["run"]
    if "versions" in run and isinstance(why := software[target["environment"]], str):
        yield f"its software could not be compared: {why}"
    for hub_id in target["unlocked"]:
        yield f"descends from {hub_id}, which had no commit in config/lock.yaml and may be another by now"
    if run.get("git", code) != code:
        yield f"was made by {commit(run['git'])}, and here is {commit(code)}"
    if unlike(run.get("hardware", {}), machine):
        yield f"was made on {named(run['hardware'])}, and here is {named(machine)}: equal bytes are for like hardware"


def changed(stage: dict, planned: dict) -> Iterator[str]:
    """The fields of its recipe in which a stage is planned otherwise than it was built."""
    was = stage["target"]
    if was["stage"] != planned["stage"]:
        yield f"{was['stage']} → {planned['stage']}"
        return
    version = {"version": planned["own"]["version"]}  # of our code, and no field of a recipe
    # The asked one's manifest has the names of this checkout, though another may have made it.
    said = stage["manifest"].get("identity", was["own"] | was["names"])
    yield from changes(said | version, planned["identity"])


def faults(lineage: Lineage, software: Software) -> list[str]:
    """What keeps a stage from being made again as it was."""
    return gathered((path, what) for path, stage in lineage.items() for what in faults_of(stage, software))


def faults_of(stage: dict, software: Software) -> Iterator[str]:
    target = stage["target"]
    for file, was in outside(stage).values():
        found = place_digest(file) if file.exists() else None
        if found != was:
            yield f"{file} is not what it was: its digest was {was}, and {f'is {found}' if found else 'it is gone'}"
    version = identity.VERSIONS[target["stage"]]
    if target["own"]["version"] != version:
        yield f"was made by version {target['own']['version']} of {target['stage']}, and this checkout has {version}"
    now = software[target["environment"]]
    if (had := stage["run"].get("versions")) and not isinstance(now, str):
        yield from other_software(had, now)


def software(plan: Plan, lineage: Lineage) -> Software:
    """The versions that are installed in each environment of a lineage, or why they cannot be told from here."""
    return {name: versions(plan, name) for name in {stage["target"]["environment"] for stage in lineage.values()}}


def versions(plan: Plan, environment: str) -> dict[str, str] | str:
    try:
        return environments.find(environment, plan.site, plan.root).versions
    except Refusal as refusal:  # of an image it names an option of Snakemake's alone
        image = environments.image(environment, plan.site)
        return f"{image} is an image, and not open here" if image else str(refusal)


def other_software(had: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for package in sorted({*had, *now}):
        if had.get(package) != now.get(package):
            yield f"was made with {shown(package, had)}, and installed is {shown(package, now)}"


def damages(plan: Plan, lineage: Lineage) -> list[str]:
    """The stages of which the store holds other bytes than were made."""
    said = ((path, damaged(plan, stage["manifest"])) for path, stage in lineage.items())
    return [f"{path}: {what}" for path, what in said if what]


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
