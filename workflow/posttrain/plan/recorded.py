"""The targets of a run record, which `posttrain verify` has built in place of the recipes'."""

from collections.abc import Iterator
from pathlib import Path

from posttrain.files import read_json, write_json
from posttrain.plan.targets import Target
from posttrain.recipes import site
from posttrain.recipes.catalogue import Catalogue

RECORD = Path(".posttrain/lineage.json")  # in the folder of a rebuild


def planned(lineage: dict[str, dict]) -> dict[str, dict]:
    """What each stage of a lineage is to be made as, in any folder: files outside the build are read where they are."""
    here = Path.cwd()
    return {
        path: stage["target"] | {"files": {role: str(here / file) for role, file in stage["target"]["files"].items()}}
        for path, stage in lineage.items()
    }


def write(folder: Path, planned: dict[str, dict]) -> None:
    write_json(folder / RECORD, planned)


def read(folder: Path) -> dict[str, dict]:
    return read_json(folder / RECORD)


def targets() -> Iterator[Target]:
    """Those of the folder that we stand in."""
    for path, said in read(Path()).items():
        yield Target(path, **said)


def no_recipes(site_file: Path) -> Catalogue:
    """What the site says, and nothing else: where what is recorded is built is a matter of today."""
    return Catalogue(entries={}, uses={}, scans={}, families={}, published={}, site=site.read(site_file).said)
