"""One pass on a real SLURM: its jobs, its signals and its queue, on the micro-chain."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, missing

from conftest import DPO, PAGE, SFT, Project, end_started, shipped_checkout

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("slurm"),  # one cluster
]

# The profile looks after 5 s, for jobs that take minutes; these take seconds.
ON_SLURM = ("--profile", "slurm", "--slurm-posttrain-init-seconds-before-status-checks", "1")
TRAINED = f"train_dpo {DPO.removeprefix('models/')}"


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster: Cluster) -> Iterator[Cluster]:
    """The module's cluster, up and empty."""
    yield one_cluster
    end_started()  # or it would submit anew what is cancelled
    one_cluster.clear()


@pytest.fixture
def long(built: Project) -> Project:
    return lengthened(built)


def lengthened(built: Project) -> Project:
    """A built checkout whose last model has become 40 steps, with no checkpoint but one that is asked for."""
    built.edit("beta: 0.1,", "beta: 0.1, max_steps: 40,")
    built.edit("save_steps: 1,", "save_steps: 1000, micro_batch_size: 1, dataloader_num_workers: 1,")
    return built


def state(cluster: Cluster, project: Project, job: str = TRAINED) -> str:
    return cluster.jobs(project.root).get(job, {}).get("JobState", "")


def begin_now(cluster: Cluster, project: Project) -> None:
    """A job that was put back SLURM lets wait for two minutes; begun within two seconds it is refused by its node."""
    project.wait(lambda: state(cluster, project) == "PENDING")
    time.sleep(3)
    cluster.ask("scontrol", "update", f"JobId={cluster.jobs(project.root)[TRAINED]['JobId']}", "StartTime=now")


def submitted(project: Project) -> int:
    """The jobs that Snakemake knows it submitted, and so would cancel."""
    logs = project.root.glob(".snakemake/log/*.snakemake.log")
    return sum(log.read_text().count("SLURM jobid") for log in logs)


def trainer(project: Project) -> int:
    """The process that trains in this checkout; those that read batches for it are younger."""
    return min(processes(project, "scripts/train_dpo.py"))


def processes(project: Project, script: str) -> list[int]:
    """Those that run a stage's program in this checkout, but for their launcher."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            here = Path(f"/proc/{pid}/cwd").readlink() == project.root
        except OSError:
            continue
        if here and any(word.endswith(script) for word in words) and "-m" not in words:
            found.append(int(pid))
    return sorted(found)


def stop_the_clock(project: Project) -> int:
    """Hold a trainer after its second step, so that what follows is no race; SLURM's SIGTERM comes with a SIGCONT."""
    project.wait(lambda: (said := project.status(DPO)).get("step", 0) >= 2 and said["state"] == "running", seconds=300)
    pid = trainer(project)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_the_bare_profile_builds_on_the_cluster_what_is_built_here(
    cluster: Cluster, fresh: Project, micro_built: Project
) -> None:
    fresh.make(DPO, *ON_SLURM, PATH=cluster.path)
    sent = {f"{job['JobId']}": name for name, job in cluster.jobs(fresh.root).items()}
    light = "init_model_make_tokenizer_mix_data_mix_preferences_tokenize_rows"
    assert sorted(re.sub(r"^\w{16}_", "", name).split()[0] for name in sent.values()) == sorted(
        [light, "compute_reference", "train_sft", "train_dpo"]
    )
    for path in fresh.started():
        assert fresh.content(path) == micro_built.content(path), path
        job = json.loads(fresh.path(f"{path}.run.json").read_text())["slurm_job"]
        assert path.split("/")[1] in sent[job] or light in sent[job], "a job does not know its own number"


def test_a_full_store_takes_no_place_in_the_queue(cluster: Cluster, built: Project) -> None:
    shutil.rmtree(built.path("models"))
    shutil.rmtree(built.path(".snakemake"))
    cluster.partitions("DOWN")
    before = cluster.next_job()
    assert built.make(DPO, *ON_SLURM, PATH=cluster.path)[1] == []
    assert built.path(DPO).exists()
    assert cluster.next_job() == before


def test_a_recipe_edited_while_its_job_waits_waits_for_the_next_plan(cluster: Cluster, built: Project) -> None:
    built.edit("beta: 0.1,", "beta: 0.2,")
    cluster.partitions("DOWN")
    main = built.start(DPO, *ON_SLURM, PATH=cluster.path)
    built.wait(lambda: state(cluster, built) == "PENDING")
    built.edit("beta: 0.2,", "beta: 0.4,")
    assert f"{DPO}: train.beta 0.1 → 0.4" in built.make("-n", DPO)[0], "the plan of a waiting job is not the next one's"
    cluster.partitions("UP")
    assert main.wait(timeout=600) == 0
    assert built.manifest(DPO)["identity"]["train"]["beta"] == 0.2
    planned = built.make("-n", DPO)[0]
    assert f"{DPO}: train.beta 0.2 → 0.4" in planned
    assert "rule train_dpo:" in planned, "the dry run during the wait hid the edit from the next plan"


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_preempted_job_saves_where_it_is_and_goes_on_from_there(
    cluster: Cluster, long: Project, tmp_path: Path, nodes: int
) -> None:
    if nodes > 1:
        long.edit("micro_batch_size: 1,", "micro_batch_size: 1, processes: 2, launch: ddp,")
    uninterrupted = long.copy(tmp_path / "q")
    if nodes > 1:
        long.edit("processes: 2,", "processes: 2, nodes: 2,")
    main = long.start(DPO, *ON_SLURM, PATH=cluster.path)
    stop_the_clock(long)
    number = cluster.jobs(long.root)[TRAINED]["JobId"]
    cluster.ask(
        "sbatch", "--partition=high", "--nodes=4", "--exclusive", "--mem=0", "--output=/dev/null", "--wrap=true"
    )
    long.wait(lambda: state(cluster, long) == "PENDING")
    said = long.status(DPO)
    assert said["state"] == "resume" and 2 <= said["step"] < 40, said
    begin_now(cluster, long)
    assert main.wait(timeout=600) == 0
    run = json.loads(long.path(f"{DPO}.run.json").read_text())
    assert (run["slurm_job"], run["resumes"]) == (number, 1)
    uninterrupted.make(DPO)
    assert long.content() == uninterrupted.content()


def test_a_killed_snakemake_leaves_a_job_that_the_next_one_waits_for(cluster: Cluster, long: Project) -> None:
    main = long.start(DPO, *ON_SLURM, PATH=cluster.path)
    held = stop_the_clock(long)
    main.kill()
    main.wait()
    number, before = cluster.jobs(long.root)[TRAINED]["JobId"], cluster.next_job()
    refusal, trained = long.make(DPO, *ON_SLURM, rc=1, PATH=cluster.path)
    assert trained == []
    assert f"SLURM job {number} " in refusal and "of 40" in refusal, refusal
    assert cluster.next_job() == before
    os.kill(held, signal.SIGCONT)
    long.wait(lambda: state(cluster, long) == "COMPLETED", seconds=300)
    assert long.make(DPO, *ON_SLURM, PATH=cluster.path)[1] == []
    assert long.manifest(DPO)["identity"]["train"]["max_steps"] == 40


def test_two_nodes_make_the_model_that_two_processes_of_one_make(cluster: Cluster, built: Project) -> None:
    built.forget(SFT)
    built.edit("runtime: {save_steps: 1,", "runtime: {processes: 2, launch: ddp, save_steps: 1,")
    built.make(SFT)
    content = built.content(SFT)
    built.forget(SFT)
    built.edit("processes: 2,", "processes: 2, nodes: 2,")
    assert built.make(SFT, *ON_SLURM, PATH=cluster.path)[1] == [SFT]
    job = cluster.jobs(built.root)["train_sft micro-sft"]
    assert (job["NumNodes"], job["NumTasks"], job["CPUs/Task"]) == ("2", "2", "1")
    assert built.content(SFT) == content


def test_what_a_recipe_and_a_site_ask_for_arrives_in_the_queue(cluster: Cluster, built: Project) -> None:
    page = built.path(PAGE)
    wide = "{gpus: 2, launch: ddp, threads: 3, mem_gb: 5, hours: 1.5}"
    broad = "{gpus: 16, nodes: 2, launch: zero3, threads: 3}"
    page.write_text(
        f"{page.read_text()}  wide:\n    extends: micro-dpo\n    train: {{beta: 0.2}}\n    runtime: {wide}\n"
        f"  broad:\n    extends: micro-dpo\n    train: {{batch_size: 16}}\n    runtime: {broad}\n"
        "  plain:\n    extends: micro-dpo\n    train: {beta: 0.3}\n"
    )
    built.path("config/site.yaml").write_text("account: lab\npartition: high\n")
    cluster.partitions("DOWN")
    main = built.start("models/wide", "models/broad", "models/plain", *ON_SLURM, PATH=cluster.path)
    built.wait(lambda: submitted(built) == 3)
    fields = (
        "TresPerJob",
        "TresPerNode",
        "NumNodes",
        "CPUs/Task",
        "MinMemoryNode",
        "TimeLimit",
        "Account",
        "Partition",
        "Requeue",
    )
    asked = {name: [job.get(field) for field in fields] for name, job in cluster.jobs(built.root).items()}
    assert asked == {
        "train_dpo wide": ["gres:gpu:2", None, "1-1", "6", "5000M", "01:30:00", "lab", "high", "1"],
        # 8 processes on each node: 4 GB each, and half as much to spare
        "train_dpo broad": ["gres:gpu:16", "gres:gpu:8", "2-2", "24", "49000M", "01:00:00", "lab", "high", "1"],
        "train_dpo plain": [None, None, "1", "1", "8000M", "01:00:00", "lab", "high", "1"],
    }
    main.send_signal(signal.SIGINT)
    built.wait(lambda: {job["JobState"] for job in cluster.jobs(built.root).values()} == {"CANCELLED"})
    main.wait(timeout=120)


def test_a_rehearsal_goes_through_the_queue_too(cluster: Cluster, tmp_path: Path) -> None:
    project = shipped_checkout(tmp_path / "p")
    project.make("models/zephyr-7b-sft", "--profile", "profiles/rehearse-slurm", *ON_SLURM[2:], PATH=cluster.path)
    assert project.path("rehearsal/models/zephyr-7b-sft/model.safetensors").is_file()
    asked = {name: job.get("TresPerJob") for name, job in cluster.jobs(project.path("rehearsal")).items()}
    assert "train_sft zephyr-7b-sft" in asked
    assert set(asked.values()) == {None}, "a rehearsal asks for no GPU"
