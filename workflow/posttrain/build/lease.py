"""The lease: the right to build a key, held by a heartbeat and lost to whoever takes the next turn.

A turn is the atomic mkdir of store/.leases/<key>/<n+1>; the highest n holds. Nothing is locked and nothing is
renamed, so it works where flock does not (NFS, Lustre), and a crash leaves nothing to clear.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

from posttrain.files import Refusal, read_json, write_json

BEAT = 2  # seconds
KEY = "POSTTRAIN_KEY"  # in the environment of every process that works on a key
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


def turns(store: Path, key: str) -> list[Path]:
    return sorted(Path(store, ".leases", key).glob("[0-9]*"), key=lambda path: int(path.name))


def holder(store: Path, key: str) -> dict:
    """Who builds this key now, or {}: nobody, or one who has released it, is dead, or has long been silent."""
    last = turns(store, key)[-1:]
    if not last or (last[0] / "released").exists():
        return {}
    owner = read_json(last[0] / "owner.json")
    if owner.get("machine") == machine() and started(owner["pid"]) != owner["since"]:
        return {}
    if owner and owner.get("slurm_job") == os.environ.get("SLURM_JOB_ID", "none"):
        return {}  # our own job, before it was requeued: SLURM never runs a job twice at once
    return (owner or {"name": f"a job that took {last[0]}"}) if age(last[0]) < STALE else {}


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
        now.unlink(missing_ok=True)


class Lease:
    """A context in which this process alone builds a key.

    Raises: Refusal, on entering, if another holds it. A lease lost later ends the process at once, and with it
    what it started (they die with their parent).
    """

    def __init__(self, store: Path, key: str, path: str) -> None:
        self.store, self.key, self.path = store, key, path

    def __enter__(self) -> "Lease":
        folder = Path(self.store, ".leases", self.key)
        folder.mkdir(parents=True, exist_ok=True)
        if who := holder(self.store, self.key):
            raise Refusal(f"{self.path} is being built by {who['name']}; this job leaves it alone")
        last = turns(self.store, self.key)[-1:]
        self.turn = folder / str(int(last[0].name) + 1 if last else 1)
        try:
            self.turn.mkdir()
        except FileExistsError:
            raise Refusal(f"{self.path}: another job took the lease first; this one leaves it alone") from None
        pid, job = os.getpid(), os.environ.get("SLURM_JOB_ID")
        place = f"process {pid} on {socket.gethostname()}"
        name = f"SLURM job {job} ({place})" if job else place
        owner = {"name": name, "machine": machine(), "pid": pid, "since": started(pid), "slurm_job": job}
        write_json(self.turn / "owner.json", owner)
        stop_survivors(self.key, last)
        threading.Thread(target=self.beat, daemon=True).start()
        return self

    def held(self) -> bool:
        return turns(self.store, self.key)[-1:] == [self.turn]

    def beat(self) -> None:
        while self.held():
            (self.turn / "beat").touch()
            time.sleep(BEAT)
        os._exit(os.EX_TEMPFAIL)

    def __exit__(self, *error: object) -> None:
        (self.turn / "released").touch()


def stop_survivors(key: str, last: list[Path]) -> None:
    """End what is left on this machine of the job whose turn was taken, so that two never write.

    That is its first process, if it was only suspended, and those it started, which carry the key in their
    environment (a trainer in the kernel's hands may outlive its launcher for a moment).
    """
    owner = read_json(last[0] / "owner.json") if last else {}
    if owner.get("machine") != machine():
        return
    left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != os.getpid() and carries(pid, key)]
    if started(owner["pid"]) == owner["since"]:
        left.append(owner["pid"])
    for pid in left:
        since = started(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while since and started(pid) == since:
            time.sleep(0.01)


def carries(pid: int, key: str) -> bool:
    try:
        return f"{KEY}={key}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
