"""What a build takes of the queue: a place for light stages together, an array for shards, none for a full store."""

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from cluster import Cluster, missing
from test_slurm import ON_SLURM, cluster, one_cluster  # noqa: F401  fixtures

from chain import CHAIN, ENDS
from conftest import DPO, PAGE, Project, checkout
from posttrain.files import read_json
from posttrain.plan.groups import Groups

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("slurm"),  # one cluster
]

TRIES = "completions/chain-tries"


def sent(project: Project) -> dict[str, list[str]]:
    """The targets of each SLURM job that a checkout has sent, by the job's number, the first sent first."""
    paths = sorted(project.root.glob(".posttrain/sent/*[0-9].json"), key=os.path.getmtime)
    return {path.stem: list(read_json(path)["targets"]) for path in paths}


def killed(project: Project, prefix: str, after: int = 0) -> str:
    """Kill what makes a target, without a word, as soon as one begins whose path begins so; which it was.

    Args:
        after: how many lines the journal has before.
    """

    def begun() -> list[dict]:
        lines = project.journal()[after:]
        return [line for line in lines if line["event"] == "start" and line["target"].startswith(prefix)]

    project.wait(begun)
    os.kill(begun()[0]["pid"], signal.SIGKILL)
    return begun()[0]["target"]


def test_the_long_chain_queues_for_its_heavy_stages_and_is_rebuilt_from_the_store_without(
    cluster: Cluster,  # noqa: F811
    chain_built: Project,
    tmp_path: Path,
) -> None:
    """To its last evaluation: a stage of every kind that the quickstart has."""
    project = checkout(tmp_path / "p", CHAIN)
    project.make(ENDS[0], *ON_SLURM, PATH=cluster.path)
    started = project.started()
    assert {path: project.content(path) for path in started} == {path: chain_built.content(path) for path in started}
    group, jobs = Groups(project.targets()), sent(project).values()
    light = {path for path in started if group.of(path)}
    assert (len(started), len(jobs)) == (25, 14)
    assert sorted(len(job) for job in jobs if not light.isdisjoint(job)) == [1, 2, 6, 6]

    for name in ("models", "data", "tokens", "evals", "completions", ".snakemake"):
        shutil.rmtree(project.path(name))
    cluster.partitions("DOWN")
    before = cluster.next_job()
    project.make(ENDS[0], *ON_SLURM, PATH=cluster.path)
    assert project.started() == started
    assert cluster.next_job() == before


def test_shards_that_ask_for_the_same_are_an_array_that_a_command_line_holds(
    cluster: Cluster,  # noqa: F811
    chain: Project,
) -> None:
    chain.edit(
        "scores:\n", "  more-tries: {extends: chain-tries, sampling: {seed: 2}, runtime: {mem_gb: 5}}\n\nscores:\n"
    )
    chain.edit("shards: 1}", "shards: 40}")
    chain.forget(TRIES)
    cluster.partitions("DOWN")
    main = chain.start(TRIES, "completions/more-tries", *ON_SLURM, "--jobs", "100", PATH=cluster.path)
    chain.wait(lambda: len(sent(chain)) == 80)
    arrays = Counter((number.split("_")[0], path.split(".")[0]) for number, (path,) in sent(chain).items())
    asked = sorted((path, cluster.asked(array, "%m"), count) for (array, path), count in arrays.items())
    assert [count for *_, count in asked] == [8, 32, 8, 32]
    assert {found[:2] for found in asked} == {("shards/chain-tries", "8000M"), ("shards/more-tries", "5000M")}
    main.send_signal(signal.SIGINT)
    main.wait(timeout=120)


def test_a_shard_that_is_lost_is_sent_again_alone_and_one_that_a_person_cancels_is_not(
    cluster: Cluster,  # noqa: F811
    chain: Project,
) -> None:
    """And more of them than jobs at once take turns."""
    content, begun = chain.content(TRIES), len(chain.journal())
    chain.edit("shards: 1}", "shards: 3}")
    chain.forget(TRIES)
    cluster.partitions("DOWN")
    main = chain.start(TRIES, *ON_SLURM, "--jobs", "2", "--keep-going", PATH=cluster.path)
    chain.wait(lambda: len(sent(chain)) == 2)
    number, (cancelled,) = sent(chain).popitem()
    cluster.ask("scancel", number)
    cluster.partitions("UP")
    lost = killed(chain, "shards/", after=begun)
    output = main.communicate(timeout=300)[0]
    assert main.returncode == 1, output
    first, second = (number for number, targets in sent(chain).items() if targets == [lost])
    assert "_" in first and "_" not in second
    assert f"slurm_logs/rule_sample_shard/{first}.log" in output
    assert chain.path(f".snakemake/slurm_logs/rule_sample_shard/{first}.log").exists()
    assert list(sent(chain).values()).count([cancelled]) == 1

    before = len(chain.started())
    chain.make(TRIES, *ON_SLURM, PATH=cluster.path)
    assert chain.started()[before:] == [cancelled, TRIES]
    assert chain.content(TRIES) == content


def test_a_group_of_which_one_fails_is_sent_again_for_that_one(
    cluster: Cluster,  # noqa: F811
    fresh: Project,
    micro_built: Project,
) -> None:
    main = fresh.start(DPO, *ON_SLURM, "--until", "tokenize_rows", PATH=cluster.path)
    lost = killed(fresh, "tokens/")
    output = main.communicate(timeout=300)[0]
    assert main.returncode == 0, output
    made = fresh.started()
    assert sorted(path for path in made if made.count(path) > 1) == [lost, lost]
    (number, first), (_, second) = sent(fresh).items()
    assert first == second == sorted({*made})
    assert f"SLURM job {number}: FAILED" in output
    assert {path: fresh.content(path) for path in made} == {path: micro_built.content(path) for path in made}


def test_members_of_a_wide_group_take_turns_and_ask_for_no_longer_than_a_job_may_run(
    cluster: Cluster,  # noqa: F811
    fresh: Project,
) -> None:
    lengths = ", ".join(map(str, range(100, 120)))
    fresh.path(PAGE).open("a").write(f"  many:\n    extends: micro-sft\n    scan: {{max_length: [{lengths}]}}\n")
    fresh.path("config/site.yaml").write_text("max_hours: 3\n")
    cluster.partitions("DOWN")
    main = fresh.start("all", *ON_SLURM, PATH=cluster.path)
    fresh.wait(lambda: sent(fresh))
    ((number, targets),) = sent(fresh).items()
    assert len(targets) == 26
    assert cluster.asked(number, "%C %m %l") == "8 62.50G 3:00:00"  # 4 hours, and 8 times 8 GB
    main.send_signal(signal.SIGINT)
    main.wait(timeout=120)
