"""What DeepSpeed compiles: a compile that was killed is made anew, and nobody waits for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from posttrain.files import Refusal, read_json
from posttrain.train.extensions import LONG, Baton

HOLD = """
import sys, time
from posttrain.train.extensions import Baton
assert Baton(sys.argv[1]).try_acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lock_dies_with_its_holder(lock: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert not Baton(str(lock)).try_acquire()
    holder.kill()
    holder.wait()
    with pytest.raises(Refusal, match="who compiled it was killed; run again"):
        Baton(str(lock)).wait()
    baton = Baton(str(lock))
    assert baton.try_acquire()
    assert read_json(lock)["pid"] == os.getpid()
    baton.release()
    assert not lock.exists()
    Baton(str(lock)).wait()


def test_a_lock_of_another_program_is_respected_while_it_is_young(lock: Path) -> None:
    lock.touch()
    assert not Baton(str(lock)).try_acquire()
    then = lock.stat().st_mtime - LONG - 1
    os.utime(lock, (then, then))
    assert Baton(str(lock)).try_acquire()
