"""`posttrain verify`: whether a target is made again, to the byte, from its record alone.

What can be told before anything is built is told first: a file outside the build that has changed, a package of another
version. Then the target and all that it was made from are built in a clean folder, from nothing but the run record,
and compared in that order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrain.plan import recorded
from posttrain.plan.opened import Plan
from posttrain.verify import before, compare, rebuild


@dataclass(frozen=True)
class Asked:
    path: str  # models/zephyr-7b-sft
    profile: str  # Snakemake's, by which it is built again
    into: Path | None = None  # the folder to build in; one that is taken away afterwards if unsaid
    stored: bool = False  # nothing is to be built again
    anyway: bool = False  # nor does what differs beforehand keep it from being built


@dataclass(frozen=True)
class Said:
    words: str
    well: bool = True

    def __str__(self) -> str:
        return self.words


def verify(plan: Plan, asked: Asked) -> Iterator[Said]:
    """A line for each thing that differs, and at last the verdict."""
    path, lineage = asked.path, before.lineage_of(plan, asked.path)
    made, rest = before.made(lineage), before.not_compared(lineage)
    software = before.software(plan, lineage)
    yield from map(Said, [*before.edits(plan, lineage, path), *before.notes(plan, lineage, software)])
    damages = before.damages(plan, lineage)
    faults = [*before.faults(lineage, software), *damages]
    yield from (Said(fault, well=asked.anyway) for fault in faults)
    if asked.stored:
        there = sum(plan.store.entry(stage["manifest"]["key"]).exists() for stage in made.values())
        right = "and are not all right" if damages else "and every byte of them is what it was"
        yield Said(f"{path}: {there} of its {len(lineage)} stages are in the store, {right}{rest}", well=not damages)
        return
    if faults and not asked.anyway:
        first = faults[0].partition(":")[0]
        yield Said(f"{path}: is not built again, for {first} is not as it was; `--anyway` builds it", well=False)
        return
    folder = asked.into or Path("verify", path)
    with rebuild.alone(folder):
        rebuild.build(path, recorded.planned(lineage), folder, asked.profile)
        found = compare.differing(lineage, folder)
        if found:
            yield from map(Said, compare.circumstances(lineage, folder, found))
            first, name = next(iter(found.items()))
            what = compare.described(plan.store, lineage[first], folder / first, name)
            said = f"is not made again: of {len(made)} stages the first that differs is {first}, {what}"
        else:
            said = f"is equal to the byte: {len(made)} stages were built again from their record"
            if not asked.into:
                rebuild.remove(folder)
        yield Said(f"{path}: {said}{rest}", well=not found)
