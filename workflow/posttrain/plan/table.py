"""What `posttrain plan` and `posttrain explain` say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrain.files import read_json
from posttrain.plan import cost, triggers
from posttrain.plan.cost import Job
from posttrain.plan.frozen import NAMED
from posttrain.plan.lineage import lineage
from posttrain.plan.opened import Plan
from posttrain.recipes.gpus import GPUS, SIZES, SLOWEST
from posttrain.words import clipped, columns, volume

WIDEST = 120
TIGHT = 1.2  # times what is expected: how far the expectation was off where it was measured
HEAD = ("target", "GPUs", "hours", "expected", "memory", "disk", "why")


@dataclass
class Line:
    """Jobs that differ in nothing that is shown."""

    jobs: list[Job]
    cells: tuple[str, ...]
    group: str

    @property
    def name(self) -> str:
        return self.jobs[0].path if len(self.jobs) == 1 else f"{self.group}… × {len(self.jobs)}"


class Table:
    """The jobs that would make what is asked for.

    Args:
        gpu: a name of GPUS; None if it is not known what the jobs will run on.
    """

    def __init__(self, plan: Plan, asked: list[str], gpu: str | None) -> None:
        self.plan, self.gpu = plan, gpu
        self.jobs = cost.jobs(plan.targets, asked)
        self.whys = reasons(plan.targets, [job.path for job in self.jobs])
        self.lines = self.grouped()

    def grouped(self) -> list[Line]:
        scanned = {point: f"{scan}@" for scan, points in self.plan.scans.items() for point in points}
        found: dict[tuple, Line] = {}
        for job in self.jobs:
            kind, name = job.path.split("/", 1)
            unnamed = f"hub/{name.split('--')[0]}--" if kind == "hub" else f"{kind}/"
            group = scanned.get(job.path) or ("" if kind in NAMED else unnamed)
            cells = self.cells(job)
            found.setdefault((group or job.path, cells), Line([], cells, group)).jobs.append(job)
        return list(found.values())

    def cells(self, job: Job) -> tuple[str, ...]:
        """What is shown of a job besides its name, and before its reason."""
        why = ", ".join(self.whys[job.path])
        if job.target["rule"] == "restore":
            return "", "", "", "", "", why
        disk = volume(job.stored) if job.stored is not None else "?" * job.path.startswith(cost.MODELS)
        return str(job.gpus or ""), f"{job.hours:g}", self.time(job), self.memory(job), disk, why

    def time(self, job: Job) -> str:
        hours = job.expected(GPUS[self.gpu or SLOWEST])
        if hours is None:
            return "?" if job.gpus else ""
        return f"{'~' if job.work.counted else '≤'} {hours:.2g}"

    def memory(self, job: Job) -> str:
        """What one GPU is to hold, and whether it can; of a job on the CPU what its machine is to hold."""
        if not job.memory:
            return "?" if job.trains else ""
        if not job.gpus:
            return volume(job.memory)
        if not self.gpu:
            card = next((size for size in SIZES if size >= job.memory), None)
            return f"{volume(job.memory)}: {f'{card / 1e9:.0f} GB' if card else 'no card'}"
        return f"{volume(job.memory)}: {self.verdict(job)}"

    def verdict(self, job: Job) -> str:
        room = GPUS[self.gpu].memory / job.memory
        return "fits" if room >= TIGHT else "tight" if room >= 1 else "too much"

    def text(self) -> Iterator[str]:
        rows = [HEAD, *((line.name, *line.cells) for line in self.lines)]
        yield from (clipped(line, WIDEST) for line in columns(rows))
        yield ""
        yield from self.totals()
        yield from self.warnings()

    def totals(self) -> Iterator[str]:
        restored = sum(job.target["rule"] == "restore" for job in self.jobs)
        made = len(self.jobs) - restored
        yield f"{made} jobs to run" + (f", and {restored} to restore from the store" if restored else "")
        if on_gpus := [job for job in self.jobs if job.gpus]:
            asked = sum(job.gpus * job.hours for job in on_gpus)
            known = [job for job in on_gpus if job.work]
            hours = sum(job.gpus * job.expected(GPUS[self.gpu or SLOWEST]) for job in known)
            of = "" if len(known) == len(on_gpus) else f" by {len(known)} of {len(on_gpus)} jobs"
            name = self.gpu or f"{SLOWEST}s; name yours with --gpu, or `gpu:` in config/site.yaml"
            yield f"GPU-hours: {asked:g} are asked for, {hours:.3g} expected{of} ({name})"
        store, work = self.plan.store.root, Path("work")
        stored, fullest = sum(job.stored or 0 for job in self.jobs), max(job.working or 0 for job in self.jobs)
        yield f"disk: models take {volume(stored)} of the store, and {volume(fullest)} in the fullest work folder"
        yield f"free: {volume(cost.free(store))} at {store}, {volume(cost.free(work))} at {work}"
        if any("?" in line.cells for line in self.lines):
            yield "? cannot be told before its rows or its model are here"

    def warnings(self) -> Iterator[str]:
        for hub_id in sorted({hub_id for job in self.jobs for hub_id in job.target["unlocked"]}):
            yield f"{hub_id}: no commit in config/lock.yaml, so not reproducible; `posttrain lock` writes it"
        for line in self.lines:
            job = line.jobs[0]
            asked = 1e9 * (job.target["runtime"]["mem_gb"] or 0)
            if job.memory and not job.gpus and job.memory > asked:
                yield f"{line.name}: runtime.mem_gb {asked / 1e9:g} is asked for, and {volume(job.memory)} are expected"
            if job.memory and job.gpus and self.gpu and self.verdict(job) == "too much":
                mend = "a lower micro_batch_size, activation_checkpointing or zero3 over more gpus takes less"
                yield f"{line.name}: too much for {self.gpu}; {mend}"
            if (hours := job.expected(GPUS[self.gpu or SLOWEST])) and hours > job.hours:
                most = f"{'' if job.work.counted else 'up to '}{hours:.2g}"
                name = self.gpu or SLOWEST
                yield f"{line.name}: runtime.hours {job.hours:g} is asked for, and {most} are expected on {name}"


def reasons(targets: dict[str, dict], making: list[str]) -> dict[str, list[str]]:
    """Why each of the targets that would be made is made."""
    anew = set(making)
    return {path: reasons_of(path, targets[path], anew) for path in making}


def reasons_of(path: str, target: dict, anew: set[str]) -> list[str]:
    if target["rule"] == "restore":
        return [f"the same as {target['twin']}" if target["twin"] else "in the store: restored"]
    manifest = read_json(f"{path}.json")
    if not manifest:
        return ["missing"]
    old = triggers.stale(manifest, target["own"], target["identity"], target["contents"])
    fields = triggers.reasons(manifest, target) if old else []
    made = [f"its {role} {source} is made anew" for role, source in target["inputs"].items() if source in anew]
    return fields + made or ["its files are gone"]


def explained(plan: Plan, asked: list[str]) -> Iterator[str]:
    """A line for each target that others are made of, and for each reason that it is made anew."""
    making = cost.to_make(plan.targets, asked)
    whys = reasons(plan.targets, making)
    for path in lineage(plan.targets, *asked):
        if path in whys:
            yield from (f"{path}: {why}" for why in whys[path])
        elif cost.stands(path, plan.targets[path]):
            yield f"{path}: stands: nothing to do"
        else:
            yield f"{path}: not wanted: what is made of it is there"
