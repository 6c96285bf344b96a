"""Stops that ask: a trainer told to stop ends its step, saves and leaves, and goes on as if it had not been told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kills import Place, first_step, ranks_of

from conftest import SFT, Project, clean_environment
from posttrain.files import read_json

RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
SELDOM = "runtime: {save_steps: 1000, logging_steps: 1}"  # so that a checkpoint is the stop's
TWO = "runtime: {save_steps: 1000, logging_steps: 1, processes: 2, launch: ddp}"


def unmade(project: Project, runtime: str = SELDOM) -> Place:
    """The SFT model taken out of a checkout, to be trained under another runtime."""
    project.edit(RUNTIME, runtime)
    place = Place(project, SFT)
    place.unmake()
    return place


def supervisor(project: Project) -> subprocess.Popen:
    """The shell line of the rule, as a person would paste it."""
    project.make("-n", SFT)
    plan = max(project.root.glob(".posttrain/plan/*.json"), key=lambda path: path.stat().st_mtime)
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain.build", "scripts/train_sft.py", SFT],
        cwd=project.root,
        env=clean_environment() | {"POSTTRAIN_PLAN": str(plan.relative_to(project.root))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def running(place: Place, ranks: int = 1) -> Callable[[], bool]:
    return lambda: len(list(ranks_of(place))) == ranks


def assert_stopped(place: Place) -> None:
    """At the end of a step, with a checkpoint, all ranks gone."""
    said = place.project.status(SFT)
    assert (said["state"], said["step"]) == ("resume", 1)
    assert [path.name for path in place.checkpoints()] == ["checkpoint-1"]
    assert place.whole() == 1
    assert place.carriers() == []


def assert_goes_on(place: Place, content: str) -> None:
    """The next run trains the rest, and ends with the bytes of an undisturbed one."""
    assert place.project.make(SFT)[1] == [SFT]
    run = read_json(place.project.path(f"{SFT}.run.json"))
    assert run["resumes"] == 1
    assert first_step(run["metrics"]) == 1
    assert place.project.content(SFT) == content
    assert not place.work.exists()


def test_a_stop_ends_the_step_and_the_next_run_goes_on(built):
    content, place = built.content(SFT), unmade(built)
    process = supervisor(built)
    built.wait(running(place))
    process.send_signal(signal.SIGTERM)
    built.wait((place.work / "stop").exists)
    process.send_signal(signal.SIGTERM)  # SLURM's comes twice
    assert process.wait(timeout=300) == os.EX_TEMPFAIL
    assert_stopped(place)
    assert_goes_on(place, content)


def test_a_stopped_job_goes_on_on_the_same_launch_only(built):
    content, place = built.content(SFT), unmade(built)
    process = supervisor(built)
    built.wait(running(place))
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=300) == os.EX_TEMPFAIL
    assert_stopped(place)
    built.edit(SELDOM, TWO)
    assert "processes 1 → 2" in built.refused(SFT)
    assert_stopped(place)
    built.edit(TWO, SELDOM)
    assert_goes_on(place, content)


def test_an_interrupted_snakemake_stops_its_trainer_and_goes_on(built):
    content, place = built.content(SFT), unmade(built)
    snakemake = built.start(SFT)
    built.wait(running(place))
    os.killpg(snakemake.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    snakemake.communicate(timeout=300)
    assert snakemake.returncode != 0
    assert_stopped(place)
    assert_goes_on(place, content)


def test_two_processes_stop_together_and_go_on(built):
    place = unmade(built, TWO)
    assert built.make(SFT)[1] == [SFT]
    content = built.content(SFT)  # of two processes, which sum in another order than one
    place.unmake()
    process = supervisor(built)
    built.wait(running(place, ranks=2))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == os.EX_TEMPFAIL
    assert_stopped(place)
    assert len(list(place.checkpoints()[0].glob("rng_state_*.pth"))) == 2
    assert_goes_on(place, content)


def test_interrupted_twice_it_ends_at_once(built):
    place = unmade(built)
    process = supervisor(built)
    built.wait(running(place))
    process.send_signal(signal.SIGINT)
    built.wait((place.work / "stop").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 1
    assert place.carriers() == []
    said = built.status(SFT)
    assert said["state"] == "broken"
    assert said["why"].startswith("was stopped before its first checkpoint")


def test_a_trainer_that_raises_says_why_and_where(built):
    content, place = built.content(SFT), unmade(built)
    sound, loose = "        trainer = SFTTrainer(", '        raise RuntimeError("a wire came loose")\n'
    built.edit(sound, loose + sound, "scripts/train_sft.py")
    output, _ = built.make(SFT, rc=1)
    said = built.status(SFT)
    assert (said["state"], said["why"]) == ("broken", "RuntimeError: a wire came loose")
    assert "logs/train_sft/micro-sft.log" in output
    assert "a wire came loose" in built.path("logs/train_sft/micro-sft.log").read_text()
    assert not any(map(Path.exists, (place.entry, place.link, built.path(f"{SFT}.json"))))
    built.edit(loose, "", "scripts/train_sft.py")
    built.make(SFT)
    assert built.content(SFT) == content
