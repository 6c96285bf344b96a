"""One stage from its recipe to its place in the store.

This process holds the lease, starts the stage's program, stops it when asked, and publishes what it made. It
imports no torch, so a result that the store already holds costs what it takes to read it once.
"""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from posttrain.build import ancestry, environments, gpus, launch, processes, record, slurm, store, tracking
from posttrain.build.attempt import CHECKPOINTS, Attempt
from posttrain.build.environments import Environment
from posttrain.build.lease import STALE, Held, Lease, mark
from posttrain.build.store import Store
from posttrain.files import Refusal, folder_digests, place_digest, read_json, write_json
from posttrain.recipes import identity

ONLINE = ("fetch_snapshot", "fetch_wheel")  # the stages that may use the network
# Inputs that a stage does not open: what did has read them, and a model's weights are not read for their name alone.
UNOPENED = {"gather_completions": ("model", "model.weights")}
WAIT = 1  # seconds between looks at another's lease


class Supervisor:
    """Builds one target of a plan."""

    def __init__(self, plan_path: str, path: str) -> None:
        plan = read_json(plan_path)
        if not plan:
            raise Refusal(f"the plan {plan_path} cannot be read; run snakemake again to make it anew")
        if path not in plan["targets"]:
            raise Refusal(f"{plan_path} has no target {path}")
        self.plan_path, self.path, self.targets = plan_path, path, plan["targets"]
        self.target = self.targets[path]
        self.store, self.root = Store(Path(plan["store"])), Path(plan["root"])
        self.site, self.needs = plan["site"], plan["environments"][self.target["environment"]]

    def restore(self) -> None:
        """Link what the store holds, or what a twin recipe has just built."""
        twin = self.target["twin"]
        key = read_json(f"{twin}.json").get("key") if twin else self.target["key"]
        manifest = self.store.verified(key) if key else {}
        if not manifest:
            raise Refusal(f"{self.path}: the store has lost {key}; run snakemake again to build it")
        self.link(manifest)

    def build(self) -> None:
        """Link the result if the store has it; else make it, one job at a time."""
        inputs = self.verified_inputs()
        key = identity.key(self.target["own"], inputs, self.needs["digest"])
        if manifest := self.store.verified(key):
            return self.link(manifest)
        try:
            processes.check_nodes(self.target["runtime"].get("nodes", 1))
            gpus.check(self.target["runtime"])
            tracking.check(self.target["runtime"].get("tracking", "none"))
            found = self.environment()
        except Refusal as refusal:
            raise Refusal(f"{self.path}: {refusal}") from None
        with self.lease(key) as lease:
            if not self.store.verified(key):
                work = self.open_work(key)
                if not store_ready(work):
                    self.run(work, key, found.python)
                    self.finish(work, key, inputs, found.versions)
                strip(work)
                if not lease.held():
                    raise Refusal(f"{self.path}: the lease was lost to another job; nothing was published")
                self.store.publish(work, key)
        return self.link(self.store.manifest(key))

    @contextlib.contextmanager
    def lease(self, key: str) -> Iterator[Lease]:
        """The lease of a key.

        That two targets of a plan are the same may show only now: then the second waits for the first, and links what
        that has made; but not with GPUs in its hands. And a job that SLURM has put back waits until its last run, on a
        node that is gone, is known to be dead.
        """
        plan, until = str(Path(self.plan_path).resolve()), time.monotonic() + STALE
        while True:
            try:
                with Lease(self.store.root, key, self.path, plan) as lease:
                    yield lease
                    return
            except Held as held:
                twin = held.owner.get("plan") == plan and held.owner["target"] != self.path
                earlier = held.owner.get("slurm_job") == slurm.job() is not None and time.monotonic() < until
                if not earlier and (not twin or self.target["runtime"].get("gpus")):
                    raise
                time.sleep(WAIT)

    def environment(self) -> Environment:
        """What the stage's program runs in. Raises: Refusal, if it is not there or not as locked."""
        name = self.target["environment"]
        found = environments.find(name, self.site, self.root)
        environments.refuse_other_versions(name, found.versions, self.needs["locked"])
        return found

    def link(self, manifest: dict) -> None:
        record.note("link", self.path, manifest["key"])
        store.link(self.path, self.target["identity"], manifest, self.store, self.target["unlocked"])

    def verified_inputs(self) -> dict[str, str]:
        """The content digest of each input, read and found to be what its manifest or the plan says."""
        contents, unopened = {}, UNOPENED.get(self.target["stage"], ())
        for role, path in self.target["inputs"].items():
            manifest = read_json(f"{path}.json")
            if not manifest or (role not in unopened and folder_digests(path) != manifest.get("files")):
                mend = "delete both and run snakemake again"
                if manifest.get("key") and not self.store.verified(manifest["key"]):  # it is aside now
                    mend = "run snakemake again to build it anew"
                raise Refusal(f"{self.path}: its {role}, {path}, is not what {path}.json says; {mend}")
            contents[role] = store.read_by(self.target["stage"], manifest)
        for role, path in self.target["files"].items():
            contents[role] = place_digest(Path(path))
            if contents[role] != self.target["contents"][role]:
                raise Refusal(f"{self.path}: {path} was changed after the plan was made; run snakemake again")
        for role in self.target["texts"]:
            contents[role] = self.target["contents"][role]
        return identity.counted(contents)

    def open_work(self, key: str) -> Path:
        """The folder to work in; one that kept something is gone on with, checkpoints on the same launch only."""
        work = Path("work") / f"{self.path}.{key}"
        work.mkdir(parents=True, exist_ok=True)
        if store_ready(work):
            return work
        changed = launch.changes(work, self.target["runtime"])
        if changed and any(work.glob(CHECKPOINTS)):
            raise Refusal(
                f"{self.path}: {work} holds a checkpoint of another launch ({', '.join(changed)}); "
                "set it back to go on, or delete the folder to start over"
            )
        launch.settle(work, self.target["runtime"])
        return work

    def run(self, work: Path, key: str, python: str) -> None:
        """Run the stage's program in its work folder."""
        attempt = Attempt(self.path, self.target, work, key, 60 * self.site["grace_minutes"])
        attempt.begin()
        runtime, online = self.target["runtime"], self.target["stage"] in ONLINE
        arguments = [self.path, "--plan", self.plan_path, "--work", str(work)]
        script = str(self.root / self.target["script"])
        command = processes.command(script, arguments, runtime, self.root, online, python)
        environment = processes.environment(work, mark(self.store.root, key), runtime["threads"], online, python)
        attempt.run(command, environment | tracking.environment(self.path, key) | self.site["variables"])

    def finish(self, work: Path, key: str, inputs: dict[str, str], versions: dict[str, str]) -> None:
        """Say what was made. From here on a kill costs a rename."""
        if not any((work / "files").iterdir()):
            raise Refusal(f"{self.path}: its program made no files")
        store.seal(work / "files")
        made = {"identity": self.target["identity"], "key": key, "inputs": inputs}
        made |= {"environment": self.needs["digest"]} | store.describe(work / "files")
        run = record.of_run(work, self.target, self.root, versions)
        run |= {"lineage": ancestry.lineage(self.targets, self.path, made, run)}
        write_json(work / "run.json", run)
        write_json(work / "manifest.json", made)


def strip(work: Path) -> None:
    """Leave only what the store keeps; a kill may have come between the manifest and this."""
    for path in work.iterdir():
        if path.name in ("manifest.json", "run.json"):
            path.chmod(0o444)
        elif path.name != "files":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def store_ready(work: Path) -> bool:
    """Whether a work folder is finished and whole: a kill came between its manifest and the rename."""
    if not (work / "manifest.json").exists():
        return False
    try:
        store.verify(work)
    except store.Corrupt:
        (work / "manifest.json").unlink()
        return False
    return True


def disk_refusal(path: str, error: OSError) -> Refusal:
    """A disk's error as one line: which disk, and what became of the work."""
    place = error.filename2 or error.filename or "the disk"
    why = {
        errno.ENOSPC: "no space left",
        errno.EDQUOT: "over quota",
        errno.EROFS: "read-only",
        errno.EACCES: "no permission",
    }
    reason = why.get(error.errno, error.strerror)
    if isinstance(error, shutil.Error):  # copytree's, which keeps the words alone
        _, place, said = error.args[0][0]
        reason = next((why[number] for number in why if os.strerror(number) in said), said)
    return Refusal(
        f"{path}: {reason} at {place}; nothing is lost: mend it and run again, it will go on from its work folder"
    )
