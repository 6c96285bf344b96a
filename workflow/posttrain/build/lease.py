"""The lease: the right to build a key, held by a heartbeat and lost to whoever takes the next turn.

A turn is the folder store/.leases/<key>/<n+1>; the highest n holds. It comes to be by one rename, its owner in it,
which fails where a turn stands; no turn is ever moved or removed. So it works where flock does not (NFS, Lustre), and
a crash leaves nothing to clear.
"""

import contextlib
import errno
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

from posttrain.build import slurm
from posttrain.files import Refusal, read_json, write_json

BEAT = 2  # seconds
KEY = "POSTTRAIN_KEY"  # in the environment of every process that works on a key: its mark
STALE = 120  # seconds without a beat: twice the minute for which NFS may show an old time


def machine() -> str:
    """This boot of this machine's process numbers: where a pid means what it says."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}:{boot}:{os.stat('/proc/self/ns/pid').st_ino}"


def started(pid: int) -> str | None:
    """When a live process began, in clock ticks since boot; None if it is dead. A reused pid began later."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else rest[18]


def mark(store: Path, key: str) -> str:
    """A key and the store it is built for: two checkouts with stores of their own may build one key side by side."""
    place = os.stat(store)
    return f"{key}@{place.st_dev}:{place.st_ino}"


def turns(store: Path, key: str) -> list[Path]:
    return sorted(Path(store, ".leases", key).glob("[0-9]*"), key=lambda path: int(path.name))


def holder(store: Path, key: str) -> dict:
    """Who builds this key now, or {}: nobody, or one who has released it, is dead, or has long been silent."""
    last = turns(store, key)[-1:]
    return holder_of(last[0]) if last else {}


def holder_of(turn: Path) -> dict:
    if (turn / "released").exists():
        return {}
    owner = read_json(turn / "owner.json")
    if gone(owner):
        return {}
    # Our own SLURM job on another machine is ours from before a requeue, or another `snakemake` of one allocation.
    ours = owner and owner.get("slurm_job") == (slurm.job() or "none")
    return (owner or {"name": f"a job that took {turn}"}) if age(turn) < (STALE / 2 if ours else STALE) else {}


def gone(owner: dict) -> bool:
    """Whether an owner is known to be dead: it was of this machine, where no such process is left."""
    return owner.get("machine") == machine() and started(owner["pid"]) != owner["since"]


def age(turn: Path) -> float:
    """Seconds since the last beat, by the file system's own clock."""
    now = turn.parent / f".now.{socket.gethostname()}.{os.getpid()}"
    beat = turn / "beat" if (turn / "beat").exists() else turn
    try:
        now.touch()
        return now.stat().st_mtime - beat.stat().st_mtime
    except OSError:  # a store we may only read: our own clock must do
        return time.time() - beat.stat().st_mtime
    finally:
        with contextlib.suppress(OSError):
            now.unlink()


class Held(Refusal):
    """Another job builds the key."""

    def __init__(self, path: str, owner: dict) -> None:
        super().__init__(f"{path} is being built by {owner['name']}; this job leaves it alone")
        self.owner = owner


class Lease:
    """A context in which this process alone builds a key.

    Raises: Held, on entering, if another holds it. A lease lost later ends the process at once, and with it
    what it started (they die with their parent).
    """

    def __init__(self, store: Path, key: str, path: str, plan: str = "") -> None:
        """Args: plan: the file of the plan that a target is built for."""
        self.store, self.key, self.path, self.plan = store, key, path, plan
        self.over = threading.Event()

    def __enter__(self) -> "Lease":
        folder = Path(self.store, ".leases", self.key)
        folder.mkdir(parents=True, exist_ok=True)
        last = turns(self.store, self.key)[-1:]  # read once: the turn after one that was judged free
        if who := holder_of(last[0]) if last else {}:
            raise Held(self.path, who)
        self.turn = folder / str(int(last[0].name) + 1 if last else 1)
        draft = folder / f".{socket.gethostname()}.{os.getpid()}"
        write_json(draft / "owner.json", self.owner() | {"target": self.path, "plan": self.plan})
        try:
            draft.rename(self.turn)
        except OSError as error:
            shutil.rmtree(draft)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise Held(self.path, holder_of(self.turn) or {"name": "a job that took it first"}) from None
        stop_survivors(mark(self.store, self.key), last)
        self.beating = threading.Thread(target=self.beat, daemon=True)
        self.beating.start()
        return self

    @staticmethod
    def owner() -> dict:
        pid, job = os.getpid(), slurm.job()
        place = f"process {pid} on {socket.gethostname()}"
        name = f"SLURM job {job} ({place})" if job else place
        return {"name": name, "machine": machine(), "pid": pid, "since": started(pid), "slurm_job": job}

    def held(self) -> bool:
        return turns(self.store, self.key)[-1:] == [self.turn]

    def beat(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(OSError):  # a file system that stumbles: the next beat may pass
                if not self.held():
                    os._exit(os.EX_TEMPFAIL)
                (self.turn / "beat").touch()
            self.over.wait(BEAT)

    def __exit__(self, *error: object) -> None:
        self.over.set()  # who takes the next turn has not taken it from us
        self.beating.join()  # a beat after the end would look like life
        end(carriers(mark(self.store, self.key)))  # released means that nobody writes: a rank may outlive its launcher
        (self.turn / "released").touch()


def stop_survivors(mark: str, last: list[Path]) -> None:
    """End what is left on this machine of the job whose turn was taken, so that two never write.

    That is its first process, if it was only suspended, and those it started, which carry the mark in their
    environment (a trainer in the kernel's hands may outlive its launcher for a moment).
    """
    if not last or (last[0] / "released").exists():  # who released may still be linking what it made
        return
    owner = read_json(last[0] / "owner.json")
    if owner.get("machine") == machine():
        first = [owner["pid"]] if started(owner["pid"]) == owner["since"] else []
        end([*first, *carriers(mark)])


def carriers(mark: str) -> list[int]:
    """The processes of this machine that carry a mark in their environment, but for this one."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and carries(pid, mark)]


def end(pids: list[int]) -> None:
    """Kill processes, and wait until they are gone."""
    for pid in pids:
        since = started(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise Refusal(f"process {pid} of another user still works on this key; have it ended first") from None
        while since and started(pid) == since:
            time.sleep(0.01)


def carries(pid: int, mark: str) -> bool:
    try:
        return f"{KEY}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
