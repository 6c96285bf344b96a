"""`posttrain adopt`: a foreign artifact in a target's place, by a `use:` entry that is kept only if it plans."""

from pathlib import Path

from posttrain.files import Refusal, write_text
from posttrain.plan import frozen, opened
from posttrain.plan.lineage import lineage
from posttrain.recipes import page
from posttrain.recipes.sections import SECTIONS
from posttrain.words import did_you_mean

HEADER = "# What stands in the place of targets. `posttrain adopt` writes these lines.\n"


def adopt(path: str, place: str) -> opened.Plan:
    """The plan with a folder or a hub repository in a target's place."""
    file = page_of_uses()
    return rewrite(file, {**uses_of(file), path: place})


def drop(path: str) -> opened.Plan:
    """The plan without what stands in a target's place."""
    file = page_of_uses()
    uses = uses_of(file)
    if path not in uses:
        raise Refusal(f"{file}: use: has no {path}. {did_you_mean(path, list(uses))}")
    return rewrite(file, {name: place for name, place in uses.items() if name != path})


def page_of_uses() -> Path:
    folders = frozen.recipe_folders(Path(), frozen.config_here())
    if not folders:
        raise Refusal("config/config.yaml: recipes: names no folder to write use.yaml in")
    return folders[0] / "use.yaml"


def uses_of(file: Path) -> dict[str, str]:
    said = page.read(file)[0].get("use") if file.exists() else None
    if not isinstance(said, dict | None):
        raise Refusal(f"{file}: use: is a mapping from targets to folders or hub ids")
    return said or {}


def rewrite(file: Path, uses: dict[str, str]) -> opened.Plan:
    """Plan with a page's uses. Raises: Refusal, the plan's own, with the page as it was."""
    before = page.text_of(file) if file.exists() else None
    write_text(file, page.with_section(file, before or HEADER, "use", uses))
    try:
        return opened.open_here()
    except BaseException:
        if before is None:
            file.unlink()
        else:
            write_text(file, before)
        raise


def stands(plan: opened.Plan, path: str) -> str:
    """What an adopted target is: a folder with its digest, or a repository with its commit."""
    target = plan.targets[path]
    if target["stage"] == "adopt_folder":
        return f"{target['files']['folder']}, digest {target['contents']['folder']}"
    if target["unlocked"]:
        return frozen.unlocked(target)
    return f"{target['own']['repo_id']} of the hub, commit {target['own']['revision']}"


def begun_at(plan: opened.Plan, path: str) -> list[str]:
    """The targets of recipes that are made of a target; a scan is said once."""
    scanned = {point: scan for scan, points in plan.scans.items() for point in points}
    kinds = tuple(f"{kind}/" for kind in SECTIONS)
    named = [made for made in plan.targets if made.startswith(kinds) and made != path]
    return list(dict.fromkeys(scanned.get(made, made) for made in named if path in lineage(plan.targets, made)))
