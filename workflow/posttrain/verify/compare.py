"""What was built again beside what was recorded."""

from collections.abc import Iterator
from pathlib import Path

from posttrain.build.store import Store
from posttrain.files import read_json
from posttrain.verify import before


def differing(lineage: before.Lineage, folder: Path) -> dict[str, str]:
    """The stages that made other files than before, each with the first of these, in the order of the lineage."""
    found = {}
    for path, stage in before.made(lineage).items():
        was, now = stage["manifest"]["files"], read_json(folder / f"{path}.json").get("files", {})
        if other := [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]:
            found[path] = other[0]
    return found


def circumstances(lineage: before.Lineage, folder: Path, found: dict[str, str]) -> Iterator[str]:
    """What to know of stages that differ: that others follow, and that they ran on other hardware."""
    first, *more = found
    if more:
        yield f"after {first} differ too: {', '.join(more)}"
    was, now = lineage[first]["run"].get("hardware", {}), read_json(folder / f"{first}.run.json").get("hardware", {})
    if before.unlike(was, now):
        yield f"{first}: was made on {before.named(was)}, and again on {before.named(now)}"


def described(store: Store, stage: dict, again: Path, name: str) -> str:
    """Where a file of a stage differs, as far as what was stored is still there."""
    was = store.entry(stage["manifest"]["key"]) / "files" / name
    if name not in stage["manifest"]["files"]:
        return f"{name}: was not made before"
    if not (again / name).exists():
        return f"{name}: is not made any more"
    if not was.exists():
        return f"{name}: the store has lost what it was, so all that is known is that its digest is another"
    from posttrain.verify import contents  # torch, where something differs

    return f"{name}: {contents.difference(was, again / name)}"
