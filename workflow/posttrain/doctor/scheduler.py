"""What SLURM says of itself, against what jobs will ask of it."""

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from posttrain.build import processes, slurm
from posttrain.files import Refusal
from posttrain.plan import asked
from posttrain.plan.cost import Job
from posttrain.plan.opened import Plan
from posttrain.words import did_you_mean, volume

FORGETS = 60  # seconds: Snakemake looks at least so often at what became of its jobs
SITE = "config/site.yaml"
GPUS = re.compile(r"gpu:(?:[^:,(]+:)?(\d+)")  # gpu:8, gpu:h100:8(S:0-1)


class Node(NamedTuple):
    """What a node has, or what a job asks of one."""

    gpus: int
    cpus: int
    mb: int

    def holds(self, wanted: "Node") -> bool:
        return all(has >= asks for has, asks in zip(self, wanted, strict=True))

    def __str__(self) -> str:
        gpus = f"{self.gpus} GPUs, " if self.gpus else ""
        return f"{gpus}{self.cpus} CPUs, {volume(1e6 * self.mb)}"


def checks(plan: Plan, jobs: list[Job]) -> Iterator[tuple[str, Callable[[], str]]]:
    config = slurm.ask("scontrol", "show", "config")
    yield "SLURM", partial(settings, config)
    if config is None:
        return
    for on_gpus in sorted({bool(job.gpus) for job in jobs} or {False}):
        mine = [job for job in jobs if bool(job.gpus) == on_gpus]
        yield f"{'GPU' if on_gpus else 'CPU'} jobs", partial(partition_of, plan, mine, on_gpus)


def settings(said: str | None) -> str:
    """What hangs on the cluster's configuration."""
    processes.needs("snakemake-executor-plugin-slurm", "--profile slurm", "-e .")
    if said is None:
        raise Refusal("its controller does not answer: `scontrol ping` says why, on a machine from which jobs are sent")
    parts = [line.partition("=") for line in said.splitlines()]
    config = {name.strip(): value.strip() for name, _, value in parts}
    age = int(config["MinJobAge"].split()[0])
    if 0 < age < FORGETS:
        raise Refusal(
            f"MinJobAge is {age} s: of what a job failed is forgotten before Snakemake asks; have it set to 300 s"
        )
    more = [f"{name} {config[name].rpartition('/')[2]}" for name in ("JobRequeue", "AccountingStorageType")]
    return f"{config['SLURM_VERSION']}, MinJobAge {age} s, {', '.join(more)}"


def partition_of(plan: Plan, jobs: list[Job], on_gpus: bool) -> str:
    """The partitions of some jobs, all with GPUs or all without, against what they ask for."""
    known = partitions()
    for name in (names := named(plan, on_gpus)):
        if name not in known:
            raise Refusal(f"{SITE}: partition: SLURM has no {name}. {did_you_mean(name, list(known))}")
        refuse_closed(plan, on_gpus, known[name])
    hours = max(hours_of(known[name]["MaxTime"]) for name in names)
    if not (nodes := nodes_of(names)):
        raise Refusal(f"{SITE}: partition: {','.join(names)} has no nodes; name another")
    refuse_too_long(plan, jobs, ",".join(names), hours)
    refuse_too_large(plan, jobs, ",".join(names), nodes)
    most = "jobs of any time" if hours == math.inf else f"jobs of up to {hours:.4g} h"
    return f"{','.join(names)}: {len(nodes)} nodes, {most}; the largest has {max(nodes)}"


def partitions() -> dict[str, dict[str, str]]:
    lines = (slurm.ask("scontrol", "--oneliner", "show", "partition") or "").splitlines()
    return {said["PartitionName"]: said for said in map(slurm.fields, lines)}


def placed(plan: Plan, on_gpus: bool, resource: str) -> str | None:
    """What the site says of the place of jobs, by Snakemake's name for it."""
    return asked.of({"runtime": {"gpus": on_gpus}}, plan.site, resource)


def named(plan: Plan, on_gpus: bool) -> list[str]:
    """The partitions that jobs are sent to: those that the site names, or SLURM's default."""
    if said := placed(plan, on_gpus, "slurm_partition"):
        return said.split(",")
    known = partitions()
    if default := [name for name, partition in known.items() if partition["Default"] == "YES"]:
        return default
    raise Refusal(f"{SITE}: partition: is not said, and SLURM has no default; there are {', '.join(known)}")


def refuse_closed(plan: Plan, on_gpus: bool, partition: dict[str, str]) -> None:
    """Raises: Refusal, if a partition takes no jobs, or none of this account or quality of service."""
    name = partition["PartitionName"]
    if partition["State"] != "UP":
        raise Refusal(f"{SITE}: partition: {name} is {partition['State']}; wait until it is UP, or name another")
    for resource, allowed in (("slurm_account", "AllowAccounts"), ("qos", "AllowQos")):
        said, taken = placed(plan, on_gpus, resource), partition.get(allowed, "ALL")
        if said and taken != "ALL" and said not in taken.split(","):
            raise Refusal(f"{SITE}: {asked.PLACED[resource]}: {name} does not take {said}, only {taken}")


def hours_of(said: str) -> float:
    """`1-12:00:00`, `UNLIMITED`."""
    if ":" not in said:
        return math.inf
    days, _, clock = said.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return 24 * int(days or 0) + hours + minutes / 60 + seconds / 3600


def refuse_too_long(plan: Plan, jobs: list[Job], names: str, most: float) -> None:
    """Raises: Refusal, if a job would ask for more hours than partitions give."""
    asks = {job.path: plan.resource(job.path, "runtime") / 60 for job in jobs}
    longest = max(asks, key=asks.__getitem__, default="")
    hours, limit = asks.get(longest, 0), plan.site.get("max_hours", 0)
    if max(hours, limit) > most:
        which = f"{limit:g} is said" if limit >= hours else f"{longest} asks for {hours:g}"
        mend = f"say `max_hours: {math.floor(100 * most) / 100:g}`: what takes longer goes on in the next job"
        raise Refusal(f"{SITE}: max_hours: {which}, and {names} ends jobs after {most:.4g}; {mend}")


def nodes_of(names: list[str]) -> list[Node]:
    """The nodes of some partitions."""
    said = slurm.ask("sinfo", "--noheader", "--Node", f"--partition={','.join(names)}", "--format=%N|%G|%c|%m") or ""
    rows = [line.split("|") for line in said.splitlines()]
    known = {name: Node(sum(map(int, GPUS.findall(gpus))), int(cpus), int(mb)) for name, gpus, cpus, mb in rows}
    return list(known.values())  # one may be in several partitions


def refuse_too_large(plan: Plan, jobs: list[Job], names: str, nodes: list[Node]) -> None:
    """Raises: Refusal, if there are not as many nodes as a job asks for, as large as it asks for."""
    for job in jobs:
        runtime = job.target["runtime"]
        count = runtime.get("nodes", 1)
        wanted = Node(job.gpus // count, processes.threads(runtime), plan.resource(job.path, "mem_mb"))
        if sum(node.holds(wanted) for node in nodes) < count:
            which = "a node" if count == 1 else f"{count} nodes"
            raise Refusal(
                f"{job.path} asks for {which} with {wanted}, and the largest of the {len(nodes)} of {names} has "
                f"{max(nodes)}; lower gpus, nodes, threads or mem_gb under `runtime:` in {SITE}, or name another"
            )
