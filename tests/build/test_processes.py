"""The environment that a stage's program runs in."""

import subprocess
import sys

from posttrain.build import processes

SNAKEMAKES = ("OMP", "MKL", "OPENBLAS", "GOTO", "NUMEXPR")


def test_a_program_has_its_recipes_threads_whatever_its_job_has(tmp_path, monkeypatch):
    """Two processes of two threads each on two cores are five times slower, and their sums are other numbers."""
    for library in SNAKEMAKES:
        monkeypatch.setenv(f"{library}_NUM_THREADS", "2")
    environment = processes.environment(tmp_path, "mark", threads=1, online=False)
    said = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.get_num_threads())"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "1\n"
    assert {environment[f"{library}_NUM_THREADS"] for library in SNAKEMAKES} == {"1"}
