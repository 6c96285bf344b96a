"""A place for a program that a model wrote: no network, no files but those of Python, little time and memory.

Bubblewrap makes it of namespaces, and wants no rights for that. Each program has one of its own, and is ended with it.
"""

import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal

SECONDS, MEMORY, PRINTED, PROCESSES = 10, 1 << 30, 1 << 20, 64  # of a program; bytes of memory, and of what it prints
SEEN = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", sys.base_prefix)  # what Python is made of
PYTHON = str(Path(sys.executable).resolve())
# The last line is said by who gets there: no program knows it that ends itself before.
DRIVER = "import sys; end = sys.argv.pop(); exec(sys.stdin.read(), {'__name__': '__main__'}); print(end)"


def lacking() -> str | None:
    """What is to be said where there is no sandbox."""
    only = "what a model writes is run in a sandbox alone, and"
    if not shutil.which("bwrap"):
        return f"{only} there is no bwrap here; install bubblewrap, or leave humaneval out of the suite"
    if not passes("pass"):
        why = "bwrap makes none here, for want of user namespaces as a rule"
        return f"{only} {why}; build this on a machine that has them, or leave humaneval out of the suite"
    return None


def check() -> str:
    """Raises: Refusal, if there is no sandbox."""
    if why := lacking():
        raise Refusal(why)
    return "bwrap makes one"


def passes(program: str) -> bool:
    """Whether a program of Python comes to its end in time, in a sandbox."""
    end = secrets.token_hex()
    with tempfile.TemporaryFile() as said:
        run = subprocess.Popen(
            [*walls(), PYTHON, "-I", "-c", DRIVER, end],
            stdin=subprocess.PIPE, stdout=said, stderr=subprocess.DEVNULL, preexec_fn=limit, start_new_session=True,
        )  # fmt: skip
        try:
            run.communicate(program.encode(errors="replace"), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()  # and by --die-with-parent all that it began
            run.wait()
            return False
        said.seek(max(0, said.seek(0, os.SEEK_END) - len(end) - 1))
        return run.returncode == 0 and said.read() == f"{end}\n".encode()


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
        (resource.RLIMIT_FSIZE, PRINTED),
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
