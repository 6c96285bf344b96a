"""kill -9 of any process at any point: the next build ends with the same bytes, and never do two write.

Ten here, each point and each victim at least once. A busy machine may be late: what must hold does so wherever a kill
comes, and it counts unless all was done. What a kill at a rare instant leaves is made by hand elsewhere: half a
checkpoint in test_resuming.py, half a copy in test_store.py, a finished work folder in test_out_of_memory.py, a link
without its manifest in test_damage.py, an entry without a link in test_laws.py. tests/prove_kills.py makes as many
kills as one likes, and says where they came.
"""

import os
from pathlib import Path

import kills
import pytest

from conftest import Project

TRIALS = [
    ("sft", "supervisor", "start"),
    ("sft", "rank", "step"),
    ("dpo", "launcher", "step"),
    ("sample", "rank", "step"),
    ("sft", "all", "checkpoint"),
    ("dpo", "snakemake", "trained"),
    ("sft", "supervisor", "manifest"),
    ("dpo", "all", "copy"),
    ("dpo", "snakemake", "published"),
    ("sample", "all", "linked"),
]
LATE = 4  # times that all may be done before the kill comes


@pytest.mark.parametrize("trial", [kills.Trial(i, *words) for i, words in enumerate(TRIALS)], ids=lambda t: t.name)
def test_the_build_after_a_kill_ends_as_if_there_had_been_none(
    trial: kills.Trial, chain_built: Project, tmp_path: Path
) -> None:
    if trial.point == "copy" and os.stat(kills.OTHER_DISK).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip(f"{kills.OTHER_DISK} is not another file system")
    for again in range(LATE):
        kills.strike(trial, chain_built, tmp_path / str(again))
        if trial.hit != "done":
            return
    pytest.fail(f"the machine was too busy to kill before all was done, {LATE} times")
