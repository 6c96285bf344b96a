"""Stops that ask: a trainer told to stop ends its step, saves and leaves, and goes on as if it had not been told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import Place, first_step, ranks_of

from conftest import PAGE, SFT, Project, clean_environment
from posttrain.build import status
from posttrain.build.job import Job
from posttrain.files import read_json

RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
SELDOM = "runtime: {save_steps: 1000, logging_steps: 1}"  # so that a checkpoint is the stop's
TWO = "runtime: {save_steps: 1000, logging_steps: 1, processes: 2, launch: ddp}"
ANEW = "was stopped, and has kept nothing to go on from; run again to begin anew"
TRIES, ROWS = "shards/tries.1of1", "data/micro-rows"
TRIES_SECTION = """\
completions:
  tries:
    model: micro-sft
    prompts: micro-rows
    sampling: {n: 16, max_new_tokens: 24, block_size: 64}
    runtime: {shards: 1}
"""
READS = "runtime: {save_steps: 1000, logging_steps: 1, dataloader_num_workers: 1}"


def unmade(project: Project, runtime: str = SELDOM) -> Place:
    """The SFT model taken out of a checkout, to be trained under another runtime."""
    project.edit(RUNTIME, runtime)
    place = Place(project, SFT)
    project.forget(SFT)
    return place


def supervisor(project: Project, target: str = SFT) -> subprocess.Popen:
    """The shell line of the rule, as a person would paste it."""
    project.make("-n", target)
    return subprocess.Popen(
        [sys.executable, "-m", "posttrain.build", target],
        cwd=project.root,
        env=clean_environment() | {"POSTTRAIN_PLAN": str(project.plan().relative_to(project.root))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def running(place: Place, ranks: int = 1) -> Callable[[], bool]:
    return lambda: len(list(ranks_of(place))) == ranks


def ignores_stops(pid: int) -> bool:
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigIgn"], 16) >> signal.SIGTERM - 1 & 1)


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
    """SLURM's SIGTERM goes to all processes of a step, readers of batches too, and comes twice."""
    content, place = built.content(SFT), unmade(built, READS)
    process = supervisor(built)
    built.wait(lambda: sorted(map(ignores_stops, ranks_of(place))) == [False, True])  # the trainer, and its reader
    for pid in place.carriers():
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    built.wait((place.work / "stop").exists)
    process.send_signal(signal.SIGTERM)
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
    launch = (place.work / "launch.json").read_text()
    (place.work / "launch.json").write_text('{"launch": "single"}')  # as an older version might have left it
    assert "holds a checkpoint of another launch (processes None → 1)" in built.refused(SFT)
    (place.work / "launch.json").write_text(launch)
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
    """By ZeRO-3, an adapter with dropout: each has its own draws and its share of the optimizer to go on with."""
    for method in ("method: sft\n", "method: dpo\n"):
        built.edit(method, f"{method}    peft: {{r: 4, lora_dropout: 0.3}}\n")
    built.edit(RUNTIME, TWO.replace("ddp", "zero3"))
    assert built.make(SFT)[1] == [SFT]
    content, place = built.content(SFT), Place(built, SFT)
    built.forget(SFT)
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
    assert (said["state"], said["why"]) == ("broken", ANEW)


def test_interrupted_twice_a_trainer_with_a_checkpoint_goes_on_from_it(built):
    """The second comes while the trainer stands still, so nothing of its step is saved."""
    content, place = built.content(SFT), unmade(built, RUNTIME)
    process = supervisor(built)
    built.wait(place.whole, 300)
    for pid in ranks_of(place):
        os.kill(pid, signal.SIGSTOP)
    step = place.whole()
    process.send_signal(signal.SIGINT)
    built.wait((place.work / "stop").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == os.EX_TEMPFAIL
    assert place.carriers() == []
    assert built.status(SFT)["state"] == "resume"
    assert built.make(SFT)[1] == [SFT]
    assert first_step(read_json(built.path(f"{SFT}.run.json"))["metrics"]) == step
    assert built.content(SFT) == content


def test_a_stopped_sampler_goes_on_from_its_last_block(built):
    with built.path(PAGE).open("a") as page:
        page.write(TRIES_SECTION)
    built.make(TRIES)
    content, place = built.content(TRIES), Place(built, TRIES)
    built.forget(TRIES)
    process = supervisor(built, TRIES)
    built.wait((place.work / "kept/blocks/0.json").exists, 300)
    for pid in place.carriers():  # SLURM's SIGTERM goes to all processes of a step
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == os.EX_TEMPFAIL
    assert place.carriers() == []
    assert built.status(TRIES)["state"] == "resume"
    built.make(TRIES)
    assert read_json(built.path(f"{TRIES}.run.json"))["resumes"] == 1
    assert built.content(TRIES) == content


def test_what_keeps_nothing_says_that_it_begins_anew(built):
    """A mixture of rows, held up while it is made."""
    content, place = built.content(ROWS), Place(built, ROWS)
    built.forget(ROWS)
    sound, slow = "    with open_job(__doc__) as job:\n", "        __import__('time').sleep(600)\n"
    built.edit(sound, sound + slow, "scripts/mix_rows.py")
    process = supervisor(built, ROWS)
    built.wait(lambda: place.carriers() and place.project.status(ROWS))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1
    assert place.carriers() == []
    said = built.status(ROWS)
    assert (said["state"], said["why"]) == ("broken", ANEW)
    built.edit(slow, "", "scripts/mix_rows.py")
    built.make(ROWS)
    assert read_json(built.path(f"{ROWS}.run.json"))["resumes"] == 0
    assert built.content(ROWS) == content


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


def test_what_broke_first_stands_whatever_is_said_after_it(tmp_path):
    ranks = [Job(SFT, {}, {}, {}, {}, {}, tmp_path, main=main) for main in (True, False)]
    ranks[0].say(state="running", step=1)
    for rank, why in ((ranks[1], "out of memory"), (ranks[0], "Connection closed by peer")):
        with pytest.raises(RuntimeError), rank:
            raise RuntimeError(why)
    ranks[0].say(step=2)
    ranks[0].say(state="done")
    said = status.read(tmp_path)
    assert (said["state"], said["why"], said["step"]) == ("broken", "RuntimeError: out of memory", 2)
    status.clear(tmp_path)
    assert status.read(tmp_path) == {}
