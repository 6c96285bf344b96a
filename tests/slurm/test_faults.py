# ruff: noqa: F401, F811 (fixtures)
"""What a cluster does to jobs, done by the running daemons: each ends in the model of an undisturbed build."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cluster import Cluster, missing
from test_slurm import (
    ON_SLURM,
    TRAINED,
    begin_now,
    cluster,
    lengthened,
    long,
    one_cluster,
    processes,
    state,
    stop_the_clock,
    trainer,
)

from conftest import DPO, PAGE, Project

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("slurm"),
]


@pytest.fixture(scope="module")
def undisturbed(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The content of `long`, built here."""
    project = lengthened(micro_built.copy(tmp_path_factory.mktemp("undisturbed") / "p"))
    project.make(DPO)
    return project.content()


def go_on(project: Project) -> None:
    os.kill(trainer(project), signal.SIGCONT)


def number_of(cluster: Cluster, project: Project) -> str:
    return cluster.jobs(project.root)[TRAINED]["JobId"]


def sent(cluster: Cluster) -> int:
    return int(cluster.next_job())


def test_a_job_longer_than_any_may_be_goes_on_in_the_next(cluster, long, undisturbed):
    """Three runs of a minute each, none of them an attempt; the partition takes no longer job."""
    long.path("config/site.yaml").write_text(f"max_hours: {1 / 60}\n")
    cluster.ask("scontrol", "update", "PartitionName=debug", "MaxTime=1")
    before = sent(cluster)
    main = long.start(DPO, *ON_SLURM, "--retries", "0", PATH=cluster.path)
    steps = []
    for _ in range(2):
        stop_the_clock(long)
        long.wait(lambda: list(long.path("work/models").glob("*/stop")))  # half a minute before its end
        go_on(long)
        begin_now(cluster, long)
        steps.append(long.status(DPO)["step"])
    output = main.communicate(timeout=600)[0]
    assert main.returncode == 0, output
    assert 2 <= steps[0] < steps[1] < 40
    assert sent(cluster) == before + 1
    assert cluster.jobs(long.root)[TRAINED]["Restarts"] == "2"
    assert long.content() == undisturbed


def test_a_cancelled_job_is_not_sent_again_and_goes_on_when_it_is_asked_for(cluster, long, undisturbed):
    main = long.start(DPO, *ON_SLURM, PATH=cluster.path)
    stop_the_clock(long)
    before = sent(cluster)
    cluster.ask("scancel", number_of(cluster, long))
    output = main.communicate(timeout=300)[0]
    assert main.returncode == 1, output
    assert sent(cluster) == before, "what a person cancels is not sent again"
    assert long.status(DPO)["state"] == "resume"
    long.make(DPO, *ON_SLURM, PATH=cluster.path)
    assert long.content() == undisturbed


def test_a_job_whose_node_goes_down_is_begun_on_another(cluster, long, undisturbed):
    main = long.start(DPO, *ON_SLURM, PATH=cluster.path)
    held = stop_the_clock(long)
    node = cluster.jobs(long.root)[TRAINED]["NodeList"]
    cluster.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        long.wait(lambda: not Path(f"/proc/{held}").exists())
        begin_now(cluster, long)
        assert main.wait(timeout=600) == 0
    finally:
        cluster.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
    assert cluster.jobs(long.root)[TRAINED]["NodeList"] != node
    assert long.content() == undisturbed


def test_a_job_killed_for_memory_is_sent_again_with_twice_as_much(cluster, long, undisturbed):
    long.edit("save_steps: 1000,", "save_steps: 1000, mem_gb: 0.7,")
    before = sent(cluster)
    output, _ = long.make(DPO, *ON_SLURM, PATH=cluster.path)
    assert sent(cluster) == before + 2, output
    assert "models/micro-dpo: the next job asks for more memory" in output
    assert cluster.jobs(long.root)[TRAINED]["MinMemoryNode"] == "1400M"
    assert long.content() == undisturbed


def test_a_recipes_mistake_is_not_sent_again(cluster, built):
    built.edit("learning_rate: 1e-3, batch_size: 8", "learning_rate: 1e-3, batch_size: 64")
    before = sent(cluster)
    output, _ = built.make(DPO, *ON_SLURM, rc=1, PATH=cluster.path)
    assert "train.batch_size 64 is more than the 32 rows there are" in output
    assert sent(cluster) == before + 1


def test_a_controller_that_is_away_for_a_minute_is_waited_for(cluster, long, undisturbed):
    """First when a job is to be sent, then when it has ended."""
    cluster.controller("stop")
    main = long.start(DPO, *ON_SLURM, "--retries", "0", PATH=cluster.path)
    long.wait(lambda: "Unable to contact slurm controller" in log_of(long))
    cluster.controller("start")
    stop_the_clock(long)
    cluster.controller("stop")
    go_on(long)
    long.wait(lambda: long.path(f"{DPO}.json").exists(), seconds=60)
    subprocess.run(["sleep", "60"], check=True)
    cluster.controller("start")
    output = main.communicate(timeout=300)[0]
    assert main.returncode == 0, output
    assert long.content() == undisturbed


def log_of(project: Project) -> str:
    return "".join(path.read_text() for path in project.root.glob(".snakemake/log/*.snakemake.log"))


@pytest.mark.parametrize(
    ("asks", "words"),
    [("mem_gb: 2000", "Requested node configuration is not available"), ("hours: 2", "PartitionTimeLimit")],
    ids=["that SLURM refuses", "that would wait for ever"],
)
def test_a_job_that_can_never_begin_ends_at_once(cluster, built, asks, words):
    built.edit("beta: 0.1,", "beta: 0.2,")
    built.path("config/site.yaml").write_text(f"runtime: {{micro-dpo: {{{asks}}}}}\n")
    cluster.ask("scontrol", "update", "PartitionName=debug", "MaxTime=90")
    before = sent(cluster)
    output, _ = built.make(DPO, *ON_SLURM, rc=1, PATH=cluster.path)
    assert words in output
    assert sent(cluster) == before + 1
    built.path("config/site.yaml").unlink()
    built.make(DPO, *ON_SLURM, PATH=cluster.path)
    assert built.manifest(DPO)["identity"]["train"]["beta"] == 0.2


def test_a_full_scratch_costs_nothing_but_time(cluster, long, undisturbed, tmp_path):
    disk = tmp_path / "scratch"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        long.path("config/site.yaml").write_text(f"scratch: {disk}\n")
        before = sent(cluster)
        output, _ = long.make(DPO, *ON_SLURM, rc=1, PATH=cluster.path)
        assert "no space left" in output
        assert sent(cluster) == before + 1, "a full disk is not mended by another job"
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        long.make(DPO, *ON_SLURM, PATH=cluster.path)
        assert long.content() == undisturbed
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_job_that_waits_is_not_sent_twice(cluster, built):
    """The Snakemake that sent it is dead; the next says which job it is, and leaves it alone."""
    built.edit("beta: 0.1,", "beta: 0.2,")
    cluster.partitions("DOWN")
    main = built.start(DPO, *ON_SLURM, PATH=cluster.path)
    built.wait(lambda: state(cluster, built) == "PENDING")
    built.wait(lambda: list(built.path(".posttrain/sent").glob("*.json")))
    main.kill()
    main.wait()
    before = sent(cluster)
    refusal, _ = built.make(DPO, *ON_SLURM, rc=1, PATH=cluster.path)
    assert f"SLURM job {number_of(cluster, built)} waits in the queue to build this" in refusal
    assert sent(cluster) == before
    cluster.partitions("UP")
    built.wait(lambda: state(cluster, built) == "COMPLETED", seconds=300)
    assert built.make(DPO, *ON_SLURM, PATH=cluster.path)[1] == []


def test_a_stage_with_nothing_to_go_on_from_is_given_twice_the_time(cluster, built):
    page = built.path(PAGE)
    page.write_text(page.read_text().replace("data:\n", "data:\n  more: {sources: [{path: rows.jsonl}], seed: 3}\n"))
    built.path("config/site.yaml").write_text("runtime: {data/more: {hours: 0.0167}}\n")
    before = sent(cluster)
    main = built.start("data/more", *ON_SLURM, PATH=cluster.path)
    built.wait(lambda: mixers(built))
    os.kill(mixers(built)[0], signal.SIGSTOP)
    output = main.communicate(timeout=600)[0]
    assert main.returncode == 0, output
    assert "data/more: the next job asks for more time" in output
    assert sent(cluster) == before + 2
    assert "00:02:00" in {job["TimeLimit"] for job in cluster.jobs(built.root).values()}


def mixers(project: Project) -> list[int]:
    return processes(project, "scripts/mix_rows.py")
