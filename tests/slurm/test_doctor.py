"""What `posttrain doctor --profile slurm` says of a real SLURM that is well, and of one that is not."""

import os
import re
from pathlib import Path

import pytest
from cluster import Cluster
from test_slurm import cluster, one_cluster, pytestmark  # noqa: F401  fixtures, and where these run

from conftest import DPO, SFT, Project
from posttrain import doctor
from posttrain.doctor import launched, scheduler
from posttrain.doctor.trial import Trial
from posttrain.plan import opened

MODULES = "module() { export LOADEDMODULES=$2/12.8:$LOADEDMODULES; }\n"


@pytest.fixture
def here(fresh: Project, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Project:  # noqa: F811
    """A checkout in which we stand, beside a cluster."""
    monkeypatch.chdir(fresh.root)
    monkeypatch.setenv("PATH", cluster.path)
    return fresh


def planned(site: str) -> tuple:
    Path("config/site.yaml").write_text(site)
    plan = opened.open_here()
    return plan, doctor.to_run(plan, [DPO])


def examined(site: str = "") -> list[doctor.Finding]:
    """What is said of the scheduler where a site's file says this."""
    return list(doctor.found(scheduler.checks(*planned(site))))


def tried(site: str = "", wait: float = 10) -> dict[str, doctor.Finding]:
    """What is said of the job."""
    return {finding.name: finding for finding in doctor.found(Trial(*planned(site), wait).checks())}


def test_all_is_well_on_the_cluster_and_nothing_is_left(here: Project, cluster: Cluster) -> None:  # noqa: F811
    here.path("modules").write_text(MODULES)
    here.path("config/site.yaml").write_text("modules: [cuda]\nvariables: {NCCL_SOCKET_IFNAME: ib0}\n")
    output = here.posttrain("doctor", DPO, "--profile", "slurm", BASH_ENV=str(here.path("modules")))
    assert {line.split()[0] for line in output.splitlines()} == {"ok"}, output
    assert "debug: 4 nodes, jobs of any time; the largest has 8 GPUs, 64 CPUs, 1 TB" in output
    assert "on n[1-2], which waited" in output
    assert "n1 and n2 find torch" in output
    assert "2 processes on n1 and n2, gloo" in output
    assert not [*here.path(launched.FOLDER).iterdir(), *here.path("work").iterdir(), *here.path("store").iterdir()]
    assert cluster.ask("squeue", "--noheader") == ""


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ("partition: debgu", "partition: SLURM has no debgu. Did you mean debug?"),
        ("partition: {gpu: hihg}", ""),  # no job asks for GPUs
        ("partition: {cpu: closed}", "partition: closed is DOWN; wait until it is UP, or name another"),
        ("{partition: theirs, account: lab}", "account: theirs does not take lab, only them"),
        (
            "{partition: short, max_hours: 48}",
            "max_hours: 48 is said, and short ends jobs after 0.5; say `max_hours: 0.5`: what takes longer goes on in "
            "the next job",
        ),
        ("partition: short", f"{SFT} asks for 1, and short ends jobs after 0.5; say `max_hours: 0.5`"),
        (
            "runtime: {micro-dpo: {mem_gb: 2000}}",
            f"{DPO} asks for a node with 1 CPUs, 2 TB, and the largest of the 4 of debug has 8 GPUs, 64 CPUs, 1 TB;",
        ),
    ],
    ids=["no partition", "unwanted partition", "closed", "account", "max_hours", "too long", "too large"],
)
def test_what_the_scheduler_would_refuse_or_never_begin_is_told_with_its_mend(
    here: Project,
    cluster: Cluster,  # noqa: F811
    site: str,
    said: str,
) -> None:
    for name, setting in (("closed", "State=DOWN"), ("theirs", "AllowAccounts=them"), ("short", "MaxTime=30")):
        if name not in cluster.ask("sinfo", "--noheader", "--format=%R").split():
            cluster.ask("scontrol", "create", f"PartitionName={name}", "Nodes=n[1-4]", setting)
    wrong = [finding.words for finding in examined(site) if not finding.well]
    assert len(wrong) == bool(said), wrong
    assert all(said in words for words in wrong), wrong


def test_a_node_that_cannot_be_had_is_waited_for_and_given_up(here: Project, cluster: Cluster) -> None:  # noqa: F811
    cluster.ask("scontrol", "update", "NodeName=n[1-4]", "State=DRAIN", "Reason=test")
    try:
        (job,) = tried(wait=1 / 60).values()
    finally:
        cluster.ask("scontrol", "update", "NodeName=n[1-4]", "State=RESUME")
    assert not job.well
    assert re.search(r"waited \d s \((ReqNodeNotAvail|Nodes required for job are DOWN).*\), behind 0 others", job.words)
    assert "it is cancelled, and `--wait 60` waits an hour" in job.words
    assert cluster.ask("squeue", "--noheader") == ""
    assert not [*here.path(launched.FOLDER).iterdir()]


def test_a_feature_that_no_node_has_is_told_in_slurms_words(here: Project) -> None:
    (job,) = tried("constraint: h100").values()
    assert not job.well
    assert "is not taken: sbatch: error: Batch job submission failed: Invalid feature specification" in job.words
    assert "(sbatch --constraint=h100 --nodes=2 " in job.words and job.words.endswith("; mend config/site.yaml")


@pytest.mark.skipif(bool(os.environ.get("CUDA_VISIBLE_DEVICES")), reason="the cluster's GPUs are false here only")
def test_what_the_nodes_lack_is_told_of_each(here: Project) -> None:
    """A GPU each that torch does not see, for there is none."""
    here.edit("runtime: {save_steps: 1,", "runtime: {gpus: 2, launch: ddp, save_steps: 1,")
    said = tried()
    assert {name for name, finding in said.items() if not finding.well} == {"its GPUs"}
    assert said["its GPUs"].words.startswith("n1 gave 1 and torch ")


def test_a_module_that_cannot_be_loaded_is_told_in_its_own_words(here: Project) -> None:
    (job,) = tried("modules: [cuda]").values()
    assert not job.well
    assert "FAILED: " in job.words and "module: command not found" in job.words
