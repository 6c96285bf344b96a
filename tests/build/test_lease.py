"""The lease: one job holds a key, the dead lose it at once, the silent after a while, and losers stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import clean_environment
from posttrain.build import lease
from posttrain.build.lease import Lease
from posttrain.files import Refusal, write_json

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
# Holds the lease until its standard input ends, then lets it go, and lives until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from posttrain.build import lease
lease.BEAT = 0.05
with lease.Lease(Path(sys.argv[1]), sys.argv[2], "models/x") as held:
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
time.sleep(600)
"""
# Tries for each key when the wall clock says so, holds what it won, and says what that was.
RACE = """
import sys, time
from pathlib import Path
from posttrain.build import lease
from posttrain.files import Refusal
store, begin, keys = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
won = []
for i, key in enumerate(keys):
    while time.time() < begin + i * 0.1:
        pass
    try:
        lease.Lease(store, key, "models/x").__enter__()
        won.append(key)
    except Refusal:
        pass
print(*won, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts Python on a program; all that is left is killed in the end."""
    with ExitStack() as stack:

        def start(program: str, *args: object, **env: str) -> subprocess.Popen:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *map(str, args)],
                env=clean_environment() | env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def hold(start: Callable, store: Path, key: str = KEY) -> subprocess.Popen:
    process = start(HOLD, store, key)
    assert process.stdout.readline() == "held\n"
    return process


def sleeper(start: Callable, **env: str) -> subprocess.Popen:
    process = start("import sys, time; print('up', flush=True); time.sleep(600)", **env)
    assert process.stdout.readline() == "up\n"
    return process


def turn(store: Path, number: int, **said: object) -> Path:
    """A turn as another process would have taken it: by default a live one, elsewhere."""
    owner = {"name": "process 7 on n1", "machine": "n1:boot:1", "pid": 7, "since": "70", "slurm_job": None}
    folder = store / ".leases" / KEY / str(number)
    write_json(folder / "owner.json", owner | said)
    (folder / "beat").touch()
    return folder


def silent(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    (folder / "beat").touch()
    os.utime(folder / "beat", (then, then))


def here(process: subprocess.Popen) -> dict:
    return {"machine": lease.machine(), "pid": process.pid, "since": lease.started(process.pid)}


def dead(start: Callable) -> dict:
    """What the owner.json of a process of this machine said that is no more."""
    process = sleeper(start)
    said = here(process)
    process.kill()
    process.wait()
    return said


def test_a_second_entrant_is_refused_and_told_who_holds(start, store):
    process = hold(start, store)
    name = f"process {process.pid} on {socket.gethostname()}"
    with pytest.raises(Refusal, match=f"models/x is being built by {name}; "), Lease(store, KEY, "models/x"):
        pass
    assert lease.holder(store, KEY)["name"] == name
    assert len(lease.turns(store, KEY)) == 1


def test_another_key_is_free(start, store):
    hold(start, store)
    with Lease(store, OTHER, "models/y") as held:
        assert held.held()


def test_a_released_lease_is_free_and_its_process_lives_on(start, store):
    process = hold(start, store)
    process.stdin.close()
    assert process.stdout.readline() == "released\n"
    assert lease.holder(store, KEY) == {}
    with Lease(store, KEY, "models/x") as held:
        assert held.turn.name == "2"
        time.sleep(0.5)  # ten of its beats
    assert process.poll() is None, "the next turn ended the job that had released its own"


def test_a_dead_owner_is_stale_at_once(start, store):
    process = hold(start, store)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie still has its number
    assert lease.holder(store, KEY) == {}
    process.wait()
    assert lease.holder(store, KEY) == {}
    with Lease(store, KEY, "models/x") as held:
        assert held.turn.name == "2"


def test_a_reused_number_is_stale_and_its_new_process_left_alone(start, store):
    process = sleeper(start)
    turn(store, 1, **here(process))
    assert lease.holder(store, KEY)["pid"] == process.pid
    turn(store, 1, **here(process) | {"since": str(int(lease.started(process.pid)) - 1)})
    assert lease.holder(store, KEY) == {}
    with Lease(store, KEY, "models/x"):
        assert process.poll() is None


@pytest.mark.parametrize("seconds, held", [(0, True), (lease.STALE - 20, True), (lease.STALE + 1, False)])
def test_an_owner_elsewhere_holds_until_it_has_long_been_silent(store, seconds, held):
    silent(turn(store, 1), seconds)
    assert lease.holder(store, KEY).get("name") == ("process 7 on n1" if held else None)
    if not held:
        with Lease(store, KEY, "models/x") as taken:
            assert taken.turn.name == "2"


def test_a_turn_whose_owner_cannot_be_read_holds_until_it_is_stale(store):
    folder = turn(store, 1)
    (folder / "owner.json").write_text("{")
    assert str(folder) in lease.holder(store, KEY)["name"]
    silent(folder, lease.STALE + 1)
    assert lease.holder(store, KEY) == {}


def test_the_last_turn_counts_by_number_not_by_name(store):
    for number in range(1, 10):
        (turn(store, number) / "released").touch()
    turn(store, 10)
    assert lease.holder(store, KEY)["name"] == "process 7 on n1"


def test_a_requeued_job_goes_on_elsewhere_sooner_than_another(store, monkeypatch):
    silent(turn(store, 1, slurm_job="42"), lease.STALE / 2 + 1)
    assert lease.holder(store, KEY)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert lease.holder(store, KEY) == {}


def test_two_builds_on_two_machines_of_one_allocation_are_two(store, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    turn(store, 1, slurm_job="42")
    assert lease.holder(store, KEY)


def test_two_builds_in_one_allocation_are_two(start, store, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    turn(store, 1, **here(sleeper(start)), slurm_job="42")
    assert lease.holder(store, KEY)


def test_of_eight_that_race_exactly_one_wins(start, store):
    keys = [f"{i:016x}" for i in range(20)]
    for key in keys[::2]:  # half are taken over from the dead, half are new
        write_json(store / ".leases" / key / "1/owner.json", dead_once(start))
    racers = [start(RACE, store, time.time() + 4, *keys) for _ in range(8)]
    won = [key for racer in racers for key in racer.stdout.readline().split()]
    assert sorted(won) == keys
    assert [len(lease.turns(store, key)) for key in keys] == [2, 1] * 10
    for racer in racers:
        assert racer.communicate(timeout=60)[0] == ""
        assert racer.returncode == 0, "a winner was ended by a loser"


def dead_once(start: Callable, said: dict = {}) -> dict:  # noqa: B006 (remembered on purpose)
    said.update(said or dead(start))
    return said


def test_no_turn_is_ever_seen_without_its_owner(start, store):
    racer = start(RACE, store, 0, *(f"{i:016x}" for i in range(200)))
    seen = set()
    while len(seen) < 200:
        for entry in os.scandir(store / ".leases") if (store / ".leases").exists() else ():
            if entry.name not in seen and Path(entry, "1").exists():
                assert Path(entry, "1", "owner.json").exists(), "a kill here would block the key for two minutes"
                seen.add(entry.name)
        assert racer.poll() is None


def test_a_lost_lease_ends_its_process(start, store):
    process = hold(start, store)
    turn(store, 2)
    assert process.wait(timeout=60) == os.EX_TEMPFAIL
    assert not (store / ".leases" / KEY / "1/released").exists()


def test_beats_go_on_while_it_is_held(start, store):
    hold(start, store)
    folder = store / ".leases" / KEY / "1"
    silent(folder, lease.STALE + 60)
    deadline = time.monotonic() + 60
    while lease.age(folder) > lease.STALE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert lease.holder(store, KEY)


def test_survivors_of_a_dead_job_are_ended_at_takeover_and_no_others(start, store, tmp_path):
    (tmp_path / "another").mkdir()
    survivor = sleeper(start, **{lease.KEY: lease.mark(store, KEY)})
    others = [
        sleeper(start, **{lease.KEY: lease.mark(store, OTHER)}),
        sleeper(start, **{lease.KEY: lease.mark(tmp_path / "another", KEY)}),
        sleeper(start),
    ]
    turn(store, 1, **dead(start))
    with Lease(store, KEY, "models/x"):
        assert survivor.wait(timeout=60) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None] * 3


def test_an_owner_that_was_suspended_for_long_is_ended_at_takeover(start, store):
    process = hold(start, store)
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert lease.holder(store, KEY)["pid"] == process.pid
    silent(store / ".leases" / KEY / "1", lease.STALE + 1)
    with Lease(store, KEY, "models/x"):
        assert process.wait(timeout=60) == -signal.SIGKILL


def test_what_outlives_its_launcher_is_ended_before_the_lease_is_released(start, store):
    with Lease(store, KEY, "models/x"):
        orphan = sleeper(start, **{lease.KEY: lease.mark(store, KEY)})
    assert orphan.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
def test_a_program_whose_supervisor_died_while_it_was_imported_leaves_at_once(start, reaped):
    supervisor = sleeper(start)
    supervisor.kill()
    os.waitid(os.P_PID, supervisor.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    program = start(f"from posttrain.build.processes import die_with_parent; die_with_parent('{supervisor.pid}')")
    assert program.wait(timeout=60) == os.EX_TEMPFAIL


def test_a_store_reached_by_another_name_is_the_same_store(store, tmp_path):
    (tmp_path / "alias").symlink_to(store)
    assert lease.mark(tmp_path / "alias", KEY) == lease.mark(store, KEY)
