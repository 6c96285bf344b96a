"""Calls that end in time, whatever is called: in a process of their own, which is killed when one takes too long.

An alarm in this process would not do: a power of large numbers, or a search of `re`, hears no signal until it is done.
"""

import math
import signal
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from numbers import Real
from typing import Any

from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal

STARTING = 300  # seconds that imports may take


class Failure(Exception):
    """A call that gave no number: `kind` is the same for all that fail so, and the text says more."""

    def __init__(self, kind: str, said: str = "") -> None:
        super().__init__(f"{kind}: {said}" if said else kind)
        self.kind = kind


class Ended(Failure):
    """A call that was still under way when its process was ended: what it was given is to blame, more than it."""


class Limited:
    """A function that gives numbers, with a time limit for each call."""

    def __init__(self, make: Callable[[], Callable[..., float]], seconds: float, file: str = "") -> None:
        """What is made is made in the other process.

        Args:
            file: whose lines are named where a call fails.
        """
        self.make, self.seconds, self.file = make, seconds, file
        self.process = None

    def __call__(self, **said: object) -> float:
        """Raises: Failure, if the function does, takes too long, ends its process or gives no number."""
        if self.process is None:
            self.start()
        self.pipe.send(said)
        return self.answer(self.seconds)

    def start(self) -> None:
        fork = get_context("fork")  # it has what is imported here, and torch is not used in it
        self.pipe, theirs = fork.Pipe()
        self.process = fork.Process(target=serve, args=(self.make, theirs, self.file), daemon=True)
        self.process.start()
        theirs.close()
        try:
            self.answer(STARTING)
        except Failure as failure:
            raise Refusal(f"the verifier cannot be opened: {failure}") from None

    def answer(self, seconds: float) -> float:
        if not self.pipe.poll(seconds):
            self.stop()
            raise Ended(f"takes more than {seconds:g} s")
        try:
            failure, number = self.pipe.recv()
        except EOFError:
            self.stop()
            raise Ended("ends its process") from None
        if failure:
            raise Failure(*failure)
        return number

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.process = None


def serve(make: Callable[[], Callable[..., float]], pipe: Connection, file: str) -> None:
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a stage's processes ignore it, and by it Python ends a daemon
    failure, call = attempt(make, file)
    pipe.send((failure, 0))
    while True:
        try:
            said = pipe.recv()
        except EOFError:
            return
        failure, made = attempt(partial(call, **said), file)
        if not failure and not (isinstance(made, Real) and math.isfinite(made)):
            failure = ("gives no number", repr(made)[:100])
        pipe.send((failure, 0 if failure else float(made)))


def attempt(call: Callable, file: str) -> tuple[tuple[str, str] | None, Any]:
    try:
        return None, call()
    except Exception as error:  # a person's own function may fail in any way
        return told(error, file), None


def told(error: Exception, file: str) -> tuple[str, str]:
    """The kind of an error, with the last line of a file that it came from, and what it says in a line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno]
    where = f"{file}:{lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}", " ".join(str(error).split())
