"""What DeepSpeed compiles when it is first used, once for all programs of a user.

torch 2.13's lock on that is a file with nothing in it: one that a killed program leaves has every later one wait for
ever.
"""

import time
from pathlib import Path

from filelock import FileLock
from torch.utils import cpp_extension
from torch.utils.file_baton import FileBaton

from posttrain.build.lease import Lease, gone, machine
from posttrain.files import Refusal, read_json, write_json

LONG = 600  # seconds; nothing of DeepSpeed's takes as long to compile


class Baton(FileBaton):
    """torch's lock, which says who holds it, and is nobody's once that one is gone."""

    def try_acquire(self) -> bool:
        lock = Path(self.lock_file_path)
        with FileLock(f"{lock}.guard"):  # of those who find it left behind, one takes it away
            if abandoned(lock):
                lock.unlink()
            if mine := bool(super().try_acquire()):
                write_json(lock, Lease.owner())
            return mine

    def wait(self) -> None:
        lock = Path(self.lock_file_path)
        while lock.exists():
            if abandoned(lock):
                raise Refusal(f"{lock.parent}: who compiled it was killed; run again to compile it anew")
            time.sleep(self.wait_seconds)


def abandoned(lock: Path) -> bool:
    """Whether a lock's holder is dead; of one on another machine, or another program's, whether it is old."""
    try:
        holder, age = read_json(lock), time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return False
    return gone(holder) or (holder.get("machine") != machine() and age > LONG)


def outlive_kills() -> None:
    cpp_extension.FileBaton = Baton
