"""The frozen plan: the catalogue resolved once, what is known of each target, and which rule makes it."""

import json
from pathlib import Path
from typing import Any

from posttrain.build import environments
from posttrain.build.store import Store, read_by, whole
from posttrain.files import Refusal, digest, read_json, write_text
from posttrain.plan import publishing, recorded, rehearsal, resources, scratch, triggers
from posttrain.plan.contents import Contents
from posttrain.plan.stages import MAKERS
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import bases, catalogue, identity, lock, page
from posttrain.recipes.sections import SECTIONS

# The stages whose program has another name than theirs: it serves data and preferences alike.
SCRIPTS = {"mix_data": "mix_rows", "mix_preferences": "mix_rows"}
SCRIPTS |= {"select_data": "select_rows", "select_preferences": "select_rows"}
SCRIPTS |= {"select_revisions": "select_answers"}
NAMED = (*SECTIONS, "checkpoints")  # the kinds whose names a person chose
KINDS = (*NAMED, "tokenizers", "tokens", "reference", "answers", "shards", "hub")
# The kinds whose targets are made by a rule of their own, whatever their stage.
RULES = {"checkpoints": "train_checkpoints", "answers": "gather_answers"}


def freeze_here() -> str:
    """Freeze a plan of the checkout that we stand in, as snakemake does."""
    return freeze(Path(), config_here())


def config_here() -> dict:
    """The configuration of the checkout that we stand in."""
    if not Path("config/config.yaml").exists():
        raise Refusal("there is no config/config.yaml here; go to the folder of a checkout")
    return page.read(Path("config/config.yaml"))[0]


def recipe_folders(root: Path, config: dict) -> list[Path]:
    """The folders of recipe pages; the templates of each are in `templates` beside it."""
    said = config.get("recipes", [])
    if not isinstance(said, list) or not all(isinstance(folder, str) for folder in said):
        raise Refusal("config/config.yaml: recipes: is a list of folders")
    folders = [Path(folder).expanduser() for folder in said]
    return [folder if folder.is_absolute() else root / folder for folder in folders]


def freeze(root: Path, config: dict) -> str:
    """Resolve the catalogue, look up what is known, and write it all to one file."""
    folders, site_file = recipe_folders(root, config), root / "config/site.yaml"
    verifies = recorded.RECORD.exists()
    read = recorded.no_recipes(site_file) if verifies else catalogue.load(folders, site_file)
    rehearses, known_bases = Path.cwd() == (root / "rehearsal").resolve(), bases.read(root / "config/bases.yaml")
    apart = rehearses or verifies  # in a folder of its own
    templates = list(dict.fromkeys(folder.parent / "templates" for folder in folders))
    known_datasets = bases.read(root / "config/datasets.yaml", bases.Dataset)
    stand_ins = rehearsal.Repositories(read, known_bases, known_datasets, templates) if rehearses else None
    read = rehearsal.rehearsed(read) if rehearses else read
    site = read.site
    store = Store(Path("store" if apart else site.get("store", "store")))
    if store.root.exists() and not store.root.is_dir():
        raise Refusal(f"config/site.yaml: store: {store.root} is no folder; name one")
    if not apart:
        scratch.settle(site.get("scratch"))
    contents = Contents()
    locks, here = lock.read(root / "config/lock.yaml"), root if rehearses else Path()
    targets = Targets(read, templates, here, locks, contents, MAKERS, stand_ins)
    for target in recorded.targets() if verifies else ():
        targets.add(target)
    locked = {name: read_environment(root / f"envs/{name}.lock") for name in environments.ENVIRONMENTS}
    published = bases.published(known_bases, known_datasets)
    known: dict[str, dict] = {}
    for target in targets.all.values():
        environment = locked[target.environment]["digest"]
        known[target.path] = settle(target, known, contents, store, environment)
        if name := target.own.get("repo_id") or target.own.get("requirement"):
            known[target.path]["published"] = published[target.own.get("kind", "wheels")].get(name, {})
            known[target.path]["gated"] = name in known_bases and known_bases[name].gated
            known[target.path]["refusal"] = target.refusal or unopened(target, known_bases)
            known[target.path] |= terms(name, known_bases, known_datasets)
    mark_twins(known)
    resources.settle(known, site.get("gpu"))
    contents.remember()
    plan = {
        "root": str(root), "store": str(store.root), "environments": locked, "site": site,
        "scans": read.scans, "families": read.families, "rehearses": rehearses, "targets": known,
        "hub_ids": {kind: sorted(ids) for kind, ids in targets.hub_ids.items()},
        "published": publishing.settle(read, known, rehearses),
    }  # fmt: skip
    text = json.dumps(plan)  # unindented, for which Python has a faster encoder
    path = f".posttrain/plan/{digest(text)}.json"
    write_text(path, text, durable=False)
    triggers.prepare(known)
    return path


def read_environment(path: Path) -> dict[str, Any]:
    """The version of each package that an environment pins, and their digest."""
    pins = [line.split("==") for line in path.read_text().splitlines() if "==" in line and not line.startswith("#")]
    locked = {name.lower().replace("_", "-"): version for name, version in pins}
    return {"digest": digest(locked), "locked": locked}


def settle(target: Target, known: dict, contents: Contents, store: Store, environment: str) -> dict:
    """What can be known of a target before anything runs: its inputs' contents, its key, whether the store has it."""
    inputs = identity.counted(target.inputs)
    parts: dict[str, Any] = {role: read_by(target.stage, known[path]["made"]) for role, path in inputs.items()}
    parts |= {role: contents.of(path) for role, path in target.files.items()}
    parts |= {role: contents.of_text(text) for role, text in target.texts.items()}
    complete = None not in parts.values()
    key = identity.key(target.own, parts, environment) if complete else None
    held = store.manifest(key)
    made = standing(target, parts, complete) or held  # what stands is what the next stage will read
    return {
        "stage": target.stage, "script": f"scripts/{SCRIPTS.get(target.stage, target.stage)}.py",
        "own": target.own, "identity": target.identity, "intent": target.intent,
        "inputs": target.inputs, "files": target.files, "texts": target.texts, "runtime": target.runtime,
        "refusal": target.refusal, "unlocked": target.unlocked, "environment": target.environment,
        "contents": parts, "key": key, "hit": bool(held), "twin": None,
        "made": {name: made[name] for name in ("files", "content") if name in made},
    }  # fmt: skip


def unopened(target: Target, known_bases: dict[str, bases.Base]) -> str:
    """Why no model can begin with a repository that holds an adapter; nothing of one that holds a model."""
    repo_id, _ = lock.parts(target.own.get("repo_id", ""))
    if target.own.get("kind") != "models" or repo_id not in known_bases or not known_bases[repo_id].adapter:
        return ""
    return f"{target.path}: {repo_id} {bases.UNOPENED}"


def terms(name: str, known_bases: dict[str, bases.Base], known_datasets: dict[str, bases.Dataset]) -> dict[str, Any]:
    """By what terms a repository of the hub, or a wheel, is had."""
    repo_id, _ = lock.parts(name)
    said: dict[str, Any] = {"licence": known_bases[repo_id].licence} if repo_id in known_bases else {}
    return said | ({"passed_on": known_datasets[repo_id].passed_on} if repo_id in known_datasets else {})


def standing(target: Target, parts: dict, complete: bool) -> dict:
    """The manifest of what already stands at a target's path, if it is what the plan asks for.

    Its own environment is kept: software alone makes nothing stale.
    """
    manifest = read_json(f"{target.path}.json")
    if not complete or triggers.stale(manifest, target.own, target.identity, parts):
        return {}
    return manifest if whole(Path(target.path), manifest) else {}


def mark_twins(known: dict[str, dict]) -> None:
    """Give each target its rule: of equal intents the first is built, and the others are restored from it."""
    first: dict[str, str] = {}
    for path, target in known.items():
        twin = first.setdefault(target["intent"], path)
        target["twin"] = None if twin == path or target["hit"] else twin
        maker = RULES.get(path.partition("/")[0], target["stage"])
        target["rule"] = "restore" if target["hit"] or target["twin"] else maker


def unlocked(fetched: dict) -> str:
    """What is to be said of a repository without a commit."""
    return (
        f"{fetched['unlocked'][0]} has no commit in config/lock.yaml; `{fetched['own']['revision']}` as first "
        "fetched is used, and what is made of it is not reproducible. `posttrain lock` gives it a commit"
    )
