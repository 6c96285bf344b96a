"""A place for a program that a model wrote: no network, no files but those of Python, little time and memory.

Bubblewrap makes it of namespaces, and wants no rights for that. Each program has one of its own, and is ended with it.
"""

import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal

SECONDS, MEMORY, WRITTEN, PROCESSES = 10, 1 << 30, 1 << 20, 64  # of a program; bytes of memory, and of what it writes
HOMES = (sys.base_prefix, str(Path(sys.base_prefix).resolve()))  # Python's, which may be reached through a link
SEEN = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", *HOMES)  # what Python is made of
PYTHON = str(Path(sys.executable).resolve())
BEGUN = b"begun\n"
# The mark behind the program is read when that has come to its end, and said where the program's output does not go: it
# tells a program that ended from one that left. One that means to can read it and say it.
# How many processes there may be is said in here: outside, the kernel would count those of the user's other work.
DRIVER = f"""\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, ({PROCESSES}, {PROCESSES}))
asked, said, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
program = os.read(asked, int(sys.argv.pop()))
for own in range(3):
    os.dup2(null, own)
os.write(said, {BEGUN!r})
exec(program, {{"__name__": "__main__"}})
os.write(said, os.read(asked, 64))
"""


def lacking() -> str | None:
    """What is to be said where there is no sandbox."""
    only = "what a model writes is run in a sandbox alone, and"
    if not shutil.which("bwrap"):
        return f"{only} there is no bwrap here; install bubblewrap, or leave humaneval out of the suite"
    try:
        passes("pass")
    except Refusal as refusal:
        return f"{only} {refusal}; build this where it does, or leave humaneval out of the suite"
    return None


def check() -> str:
    """Raises: Refusal, if there is no sandbox."""
    if why := lacking():
        raise Refusal(why)
    return "bwrap makes one"


def passes(program: str) -> bool:
    """Whether a program of Python comes to its end in time, in a sandbox.

    Raises: Refusal, if none is made, whatever the program.
    """
    source, mark = program.encode(errors="replace"), secrets.token_hex().encode()
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
        asked.write(source + mark)
        asked.seek(0)
        try:
            run = subprocess.run(
                [*walls(), PYTHON, "-I", "-c", DRIVER, str(len(source))],
                stdin=asked, stdout=said, stderr=subprocess.PIPE, timeout=SECONDS, check=False,
                preexec_fn=limit, start_new_session=True,
            )  # fmt: skip
            ended, why = run.returncode == 0, f"makes none here ({last_line(run.stderr)})"
        except subprocess.TimeoutExpired:  # bwrap is killed, and by --die-with-parent all that it began
            ended, why = False, f"made none in {SECONDS} s, as on a machine that is busy"
        said.seek(0)
        told = said.read()
    if not told.startswith(BEGUN):
        raise Refusal(f"bwrap {why}")
    return ended and told == BEGUN + mark


def last_line(said: bytes) -> str:
    return (said.decode(errors="replace").strip() or "it does not say why").splitlines()[-1]


def walls() -> list[str]:
    seen = [part for place in SEEN for part in ("--ro-bind-try", place, place)]
    closed = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    return ["bwrap", *closed, *seen, "--proc", "/proc", "--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/"]


def limit() -> None:
    """Between fork and exec."""
    die_with_parent()
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, WRITTEN),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
