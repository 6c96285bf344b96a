"""Stages of the micro-chain to be run in the tests' own process. A plugin: `pytest_plugins = ["stage_fixtures"]`."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stages import Stage, uneven

from conftest import DPO, SFT, Project


@pytest.fixture
def signals_as_they_were() -> Iterator[None]:
    """A training run takes the process's signals; give them back to pytest."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def sft(micro_built: Project, tmp_path: Path, signals_as_they_were: None) -> Stage:
    return Stage(micro_built, SFT, tmp_path)


@pytest.fixture
def dpo(micro_built: Project, tmp_path: Path, signals_as_they_were: None) -> Stage:
    return Stage(micro_built, DPO, tmp_path)


@pytest.fixture
def reward(dpo: Stage) -> Stage:
    dpo.of("reward").tokenise(uneven("dpo"))
    return dpo
