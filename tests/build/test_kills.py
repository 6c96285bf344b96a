"""kill -9 of any process at any point: the next build ends with the same bytes, and never do two write.

Thirteen here; tests/prove_kills.py makes as many as one likes, and tests/RESULTS.md holds a campaign of fifty.
"""

import os
from pathlib import Path

import kills
import pytest

from conftest import Project

TRIALS = [
    ("sft", "supervisor", "start"),
    ("sft", "rank", "step"),
    ("sft", "all", "checkpoint"),
    ("sft", "snakemake", "trained"),
    ("sft", "supervisor", "manifest"),
    ("sample", "all", "published"),
    ("dpo", "launcher", "step"),
    ("dpo", "snakemake", "checkpoint"),
    ("dpo", "rank", "trained"),
    ("dpo", "all", "copy"),
    ("dpo", "snakemake", "published"),
    ("sample", "all", "linked"),
    ("sample", "rank", "step"),
]
LATE = 4  # times that a busy machine may miss a point


@pytest.mark.parametrize("trial", [kills.Trial(i, *words) for i, words in enumerate(TRIALS)], ids=lambda t: t.name)
def test_the_build_after_a_kill_ends_as_if_there_had_been_none(
    trial: kills.Trial, chain_built: Project, tmp_path: Path
) -> None:
    if trial.point == "copy" and os.stat(kills.OTHER_DISK).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip(f"{kills.OTHER_DISK} is not another file system")
    for again in range(LATE):
        kills.strike(trial, chain_built, tmp_path / str(again))
        if trial.hit == trial.point:
            return
    pytest.fail(f"the machine was too busy to kill at this point ({trial.hit} instead)")
