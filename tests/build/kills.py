"""A kill at a chosen point of a build, and what must hold after it. For test_kills.py and prove_kills.py.

Production code knows nothing of this: the point is seen in the file system by looking as often as the machine lets us,
and the victims are killed at once. Where the kill really came is read from the disk afterwards, for a busy machine may
have been late; such a trial counts as one at the point where it came.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conftest import Project
from posttrain.build import lease, status, store
from posttrain.files import folder_digests, read_json

TARGETS = {"sft": "models/chain-sft", "dpo": "models/chain-dpo", "sample": "shards/chain-tries.1of1"}
WORKING = ("rank", "launcher", "supervisor", "snakemake", "all")  # who can be killed while a trainer runs
AFTER = ("supervisor", "snakemake", "all")  # who is left when it has ended
POINTS = {
    "start": WORKING,  # the stage's program is being imported
    "step": WORKING,  # between a whole checkpoint, or a block of prompts, and the next
    "checkpoint": WORKING,  # a checkpoint has its first file and no complete.json
    "trained": WORKING,  # the model is being saved, opened and compared; or completions are
    "manifest": AFTER,  # in the work folder; not yet in the store
    "copy": AFTER,  # into a store on another file system
    "published": AFTER,  # in the store, without a link
    "linked": ("snakemake", "all"),  # the link is there, its manifest not; a living Snakemake takes the link away
}
FIRST_FILES = {"models": "config.json", "shards": "completions.parquet"}  # of an artifact
OTHER_DISK = Path("/dev/shm")


@dataclass
class Trial:
    """What one kill did."""

    seed: int
    stage: str
    victim: str
    point: str
    hit: str = "missed"
    step: int = 0  # the newest whole checkpoint that the kill left, or how many blocks
    resumed: int | None = None  # the step that the next run went on from; None if it was not to train
    seconds: float = 0
    same: bool = False

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.victim}-aimed-at-{self.point}"


def possible(stage: str, victim: str, point: str) -> bool:
    """A sampler is started without a launcher, and writes no checkpoints."""
    return stage != "sample" or (victim != "launcher" and point != "checkpoint")


class Place:
    """Where the target of a trial is made: its work folder, its entry, its link."""

    def __init__(self, project: Project, target: str) -> None:
        self.project, self.target = project, target
        self.key = project.manifest(target)["key"]
        self.store = project.path("store")
        self.work = project.path(f"work/{target}.{self.key}")
        self.entry = self.store / self.key
        self.link = project.path(target)
        self.before = len(project.started())

    def move_store(self, place: Path) -> None:
        """Put the store on another file system, where a rename cannot go."""
        shutil.copytree(self.store, place, symlinks=True)
        store.make_writable(self.store)
        shutil.rmtree(self.store)
        self.store.symlink_to(place)

    def checkpoints(self) -> list[Path]:
        return sorted(self.work.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))

    def kept(self) -> dict[Path, int]:
        """The pieces of the work that are finished, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in self.work.glob("kept/*/*.json")}

    def whole(self) -> int:
        """The step of the newest whole checkpoint, or the number of pieces that are kept."""
        steps = [int(path.name.split("-")[1]) for path in self.checkpoints() if (path / "complete.json").exists()]
        return steps[-1] if steps else len(self.kept())

    def point(self) -> str:
        """Where the build stands, by what is on the disk."""
        if self.project.path(f"{self.target}.json").exists():
            return "done"
        if self.link.is_symlink():
            return "linked"
        if self.entry.exists():
            return "published"
        if (self.store / ".incoming" / self.key).exists():
            return "copy"
        if (self.work / "manifest.json").exists():
            return "manifest"
        if any((self.work / "files").glob("*")) or (self.work / "metrics.json").exists():
            return "trained"
        checkpoints = self.checkpoints()
        if checkpoints:
            return "step" if (checkpoints[-1] / "complete.json").exists() else "checkpoint"
        if self.kept():
            return "step"
        return "start" if len(self.project.started()) > self.before else "before"

    def reached(self, point: str, step: int) -> Callable[[], bool]:
        """A question, as cheap as can be, that is first answered yes when the point is reached."""
        checkpoint, block = (str(self.work / f"{name}{step}") for name in ("checkpoints/checkpoint-", "kept/blocks/"))
        kind = self.target.split("/")[0]
        asked = {
            "step": f"{checkpoint}/complete.json" if kind == "models" else f"{block}.json",
            "checkpoint": checkpoint,
            "trained": str(self.work / "files" / FIRST_FILES[kind]),
            "manifest": str(self.work / "manifest.json"),
            "copy": str(self.store / ".incoming" / self.key),
            "published": str(self.entry),
            "linked": str(self.link),
        }
        if point == "start":
            return lambda: len(self.project.started()) > self.before
        return lambda: os.path.lexists(asked[point])

    def carriers(self) -> list[int]:
        """The launcher and the ranks that are alive; of a sampler, its program."""
        return [pid for pid in lease.carriers(lease.mark(self.store, self.key)) if lease.started(pid)]

    def supervisors(self) -> set[bytes]:
        """The supervisors whose programs are alive; two of them would be two writers."""
        found = set()
        for pid in self.carriers():
            with suppress(OSError):
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                found |= {line for line in variables if line.startswith(b"POSTTRAIN_SUPERVISOR=")}
        return found


def strike(trial: Trial, built: Project, root: Path) -> Trial:
    """Unmake a target, build it, kill, look, build again, and look again. Raises: AssertionError, saying what broke."""
    place = Place(built.copy(root), TARGETS[trial.stage])
    content = place.project.content(place.target)
    if trial.point == "copy":
        place.move_store(OTHER_DISK / f"posttrain-{os.getpid()}-{trial.seed}")
    place.project.forget(place.target)
    began = time.monotonic()
    try:
        first = place.project.start(place.target)
        kill(trial, place, first)
        trial.hit, trial.step = place.point(), place.whole()
        assert_nothing_half_made(place.project)
        output = build_again(trial, place)
        assert place.project.content(place.target) == content, output
        assert_made(trial, place)
        trial.same = True
    finally:
        trial.seconds = time.monotonic() - began
        if trial.point == "copy":
            store.make_writable(place.store.resolve())
            shutil.rmtree(place.store.resolve())
    return trial


def kill(trial: Trial, place: Place, snakemake: subprocess.Popen) -> None:
    """Wait for the point and kill the victims; then wait for Snakemake to end, by itself or by the kill."""
    dice = random.Random(trial.seed)
    reached, delay = place.reached(trial.point, dice.randint(1, 3)), wait_at(trial.point, dice)
    started = place.reached("start", 0)
    while not started():
        assert snakemake.poll() is None, snakemake.communicate()[0]
        time.sleep(0.01)
    victims = find(trial.victim, place, snakemake)  # before the point: to look through /proc takes longer than it lasts
    working = [place.work / name for name in ("checkpoints", "kept")]
    while not any(folder.exists() for folder in working) and snakemake.poll() is None and not reached():
        time.sleep(0.01)
    while not reached() and snakemake.poll() is None:
        pass  # a point may last a millisecond
    if snakemake.poll() is not None:  # it was done before we looked, or it failed without us
        assert snakemake.returncode == 0, snakemake.communicate()[0]
    time.sleep(delay)
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    snakemake.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while supervisor_of(place):
        assert time.monotonic() < deadline, "the supervisor outlived the kill"
        time.sleep(0.01)


def wait_at(point: str, dice: random.Random) -> float:
    """Seconds from the point's first sign to the kill: some points are an instant, some last."""
    return {"start": dice.uniform(0, 3), "step": dice.uniform(0, 0.01), "trained": dice.uniform(0, 0.1)}.get(point, 0)


def find(victim: str, place: Place, snakemake: subprocess.Popen) -> list[int]:
    """The processes to kill. A stage's program is started by a launcher, which its supervisor starts."""
    supervisor = supervisor_of(place)
    while victim in ("rank", "launcher", "all") and not (ranks := list(ranks_of(place))):
        assert snakemake.poll() is None, snakemake.communicate()[0]
        time.sleep(0.02)
    if victim in ("supervisor", "snakemake"):
        return [supervisor] if victim == "supervisor" else [snakemake.pid]
    launchers = [pid for pid in place.carriers() if pid not in ranks]
    return {"rank": ranks, "launcher": launchers, "all": [snakemake.pid, supervisor, *launchers, *ranks]}[victim]


def supervisor_of(place: Place) -> int | None:
    """The process that took the last turn, if it lives."""
    owner = read_json(lease.turns(place.store, place.key)[-1] / "owner.json")
    return owner["pid"] if lease.started(owner["pid"]) == owner["since"] else None


def ranks_of(place: Place) -> Iterator[int]:
    for pid in place.carriers():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"scripts/" in b" ".join(words) and b"accelerate.commands.launch" not in words:
                yield pid


def build_again(trial: Trial, place: Place) -> str:
    """The next run, in which at no time programs of two supervisors are alive."""
    before, began, kept = len(place.project.started()), False, {}
    process = place.project.start(place.target)
    while process.poll() is None:
        if len(place.project.started()) > before:
            assert len(place.supervisors()) < 2, "two jobs write"
            if not began:  # by now what was left of the killed job is gone, and nothing new is made for seconds
                began, trial.step, kept = True, place.whole(), place.kept()
            with suppress(FileNotFoundError):  # they go when all is made
                now = place.kept()
                assert all(now.get(path, when) == when for path, when in kept.items()), "what was kept is made again"
        time.sleep(0.1)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def assert_nothing_half_made(project: Project) -> None:
    """Whatever has a manifest is what its manifest says."""
    for manifest in [*project.path("store").glob("*/manifest.json"), *project.path("work").rglob("manifest.json")]:
        store.verify(manifest.parent)
    for target in project.standing():
        assert folder_digests(project.path(target)) == project.manifest(target)["files"], target


def assert_made(trial: Trial, place: Place) -> None:
    """The target stands in the store, whole and alone; nobody holds it and nothing is left of the work."""
    assert_nothing_half_made(place.project)
    assert sorted(path.name for path in place.entry.iterdir()) == ["files", "manifest.json", "run.json"]
    assert place.carriers() == []
    assert lease.holder(place.store, place.key) == {}
    assert not (place.work / status.NAME).exists()
    run = read_json(place.project.path(f"{place.target}.run.json"))
    if trial.hit in ("start", "step", "checkpoint", "trained"):
        trial.resumed = first_step(run["metrics"]) if "history" in run["metrics"] else trial.step
        assert trial.resumed == trial.step, "a whole checkpoint was not gone on from"
        assert run["resumes"] == (trial.step > 0)
    assert place.project.started()[place.before :].count(place.target) == (1 if trial.resumed is None else 2)


def first_step(metrics: dict) -> int:
    """The step that a run began at, by its own account: its rate is of the steps that it made itself."""
    made = round(metrics["train"]["train_steps_per_second"] * metrics["train"]["train_runtime"])
    return metrics["history"][-1]["step"] - made
