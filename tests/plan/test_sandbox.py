"""Programs that a model wrote: what they can do behind walls, and what is said where there are none."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from posttrain.build import sandbox
from posttrain.files import Refusal

ENDS = {
    "a right program": ("assert sum([1, 2]) == 3", True),
    "a wrong one": ("assert sum([1, 2]) == 4", False),
    "one that leaves": ("import os; os._exit(0)", False),
    "one that lets nothing be said": ("import sys; sys.stdout = None; print('end')", True),
    "one that leaves when it is done": ("import sys; sys.exit()", False),
    "one that says a lot": ("print('x' * (1 << 22))", True),
    "one that writes": ("open('/tmp/mine', 'w')", False),
    "one that looks around": (f"import os; os.listdir({str(ROOT)!r})", False),
    "one that fills memory": ("'x' * (4 << 30)", False),
    "one that never ends": ("while True: pass", False),
}
FORKS = """\
import os, time
for _ in range({most}):
    try:
        child = os.fork()
    except BlockingIOError:
        break
    if not child:
        time.sleep(60)
else:
    raise SystemExit
"""


@pytest.fixture(scope="module")
def walls() -> None:
    if why := sandbox.lacking():
        pytest.skip(why)


@pytest.mark.parametrize(("program", "passes"), ENDS.values(), ids=ENDS)
def test_a_program_of_a_model_comes_to_its_end_behind_walls_or_fails(walls, monkeypatch, program, passes):
    monkeypatch.setattr(sandbox, "SECONDS", 2)
    assert sandbox.passes(program) is passes


def test_a_program_reaches_nobody_who_listens(walls):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = f"import socket; socket.create_connection({listener.getsockname()}, timeout=2)"
        exec(call)
        assert not sandbox.passes(call)


def test_processes_are_counted_in_the_sandbox_alone(walls):
    """In there 1 is bwrap, which could not begin where the user has more than that elsewhere."""
    own = f"resource.getrlimit(resource.RLIMIT_NPROC) == ({sandbox.PROCESSES}, {sandbox.PROCESSES})"
    bwraps = "next(line.split()[2] for line in open('/proc/1/limits') if line.startswith('Max processes'))"
    assert sandbox.passes(f"import resource\nassert {own}\nassert {bwraps} != '{sandbox.PROCESSES}'")


@pytest.mark.skipif(os.getuid() == 0, reason="the kernel counts no processes of root's")
def test_a_program_has_no_more_processes_than_it_may(walls):
    assert sandbox.passes(FORKS.format(most=sandbox.PROCESSES))


def test_a_python_behind_a_link_is_seen(walls, tmp_path):
    (tmp_path / "python").symlink_to(sys.base_prefix)
    linked = tmp_path / "python/bin" / Path(sandbox.PYTHON).name
    program = "from posttrain.build import sandbox; print(sandbox.passes('pass'))"
    found = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([linked, "-c", program], env=found, capture_output=True, text=True, check=False)
    assert run.stdout == "True\n", run.stderr


def bwrap_that(does: str, folder: Path) -> str:
    """A PATH on which bwrap is a script."""
    folder.mkdir(exist_ok=True)
    (folder / "bwrap").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "bwrap").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_program_that_cannot_be_begun_is_not_a_wrong_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", bwrap_that("echo no user namespaces >&2; exit 1", tmp_path))
    with pytest.raises(Refusal, match=r"bwrap makes none here \(no user namespaces\)"):
        sandbox.passes("pass")


WHYS = {
    "refused": ("echo said first >&2; echo execvp: No such file >&2; exit 1", "makes none here (execvp: No such file)"),
    "slow": ("exec sleep 60", "made none in 1 s, as on a machine that is busy"),
}


@pytest.mark.parametrize(("does", "why"), WHYS.values(), ids=WHYS)
def test_what_keeps_bwrap_from_it_is_said_and_not_guessed(monkeypatch, tmp_path, does, why):
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    monkeypatch.setenv("PATH", bwrap_that(does, tmp_path))
    mend = "build this where it does, or leave humaneval out of the suite"
    assert sandbox.lacking() == f"what a model writes is run in a sandbox alone, and bwrap {why}; {mend}"


def test_without_a_sandbox_no_program_is_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Refusal, match="there is no bwrap here; install bubblewrap, or leave humaneval out of the suite"
    ):
        sandbox.check()
