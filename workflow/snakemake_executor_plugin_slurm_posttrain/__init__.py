"""Snakemake's SLURM executor, with what a job that failed is worth: `executor: slurm-posttrain`, of profiles/slurm.

Of snakemake-executor-plugin-slurm 2.8.0 it replaces four things. A job that failed is sent again only where another
may do better: with more memory, with more time, or on another machine. Job arrays hold jobs that ask for the same, and
wait for no others: the plugin gives all what the first asks for, and drops those that it would collect. States come
from squeue alone, so nothing waits for an accounting database, for a job that SLURM has forgotten, or for one that can
never be scheduled. And no account is guessed.
"""

import asyncio
import os
import re
import shlex
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from snakemake.jobs import GroupJob
from snakemake.resources import GroupResources, Resource, Resources
from snakemake_executor_plugin_slurm import Executor as Slurm
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings
from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from posttrain.build import sent, slurm, status
from posttrain.build.launch import READERS
from posttrain.files import Refusal, read_json
from posttrain.plan import asked
from posttrain.plan.opened import Plan

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

# Why a job waits that will wait for ever: what it asks for is more than it may have. (Too few nodes may come back.)
NEVER = re.compile(
    "PartitionTimeLimit|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|DependencyNeverSatisfied"
    "|MaxMemPerLimit|QOSMin.*|(QOS|Assoc)Max.*Per(Job|Node).*"
)
HELD = ("launch failed requeued held", "JobHoldMaxRequeue")  # put back by SLURM, which will not begin it again
LATER = re.compile(
    "Unable to contact slurm controller|Socket timed out|Zero Bytes were transmitted|standby mode|SubmitJob|temporarily"
)  # why a job is not taken now
OUT_OF_MEMORY = re.compile("slurmstepd.*(oom.?kill|exceeded (job )?memory limit|Out Of Memory)", re.IGNORECASE)
SLOWER, SLOWEST = 1.2, 60  # each look at a queue in which nothing ends comes later, at most so many seconds
WIDE = 8  # threads that a group's members have together, if none has more
UNKNOWN = (None, "", "")  # what the queue says of a job that it does not know
LOOKS = 3  # at a job that the queue has lost, or does not know, before that is believed
PAUSE = 10  # seconds, when the controller does not answer
SIZES = {status.MEMORY: "mem_mb", status.TIME: "runtime"}


class Executor(Slurm):
    def __post_init__(self, test_mode: bool = False) -> None:
        if not shutil.which("sbatch"):
            raise Refusal("there is no sbatch here: load SLURM's module, or go to a machine from which jobs are sent")
        super().__post_init__(test_mode)
        self.plan = Plan(os.environ["POSTTRAIN_PLAN"], main=False)
        self.looks: defaultdict[str, int] = defaultdict(int)

    # Arrays and groups

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Send jobs, as one array those of a rule in `array_jobs` that ask for the same."""
        self._main_event_loop = self._main_event_loop or running_loop()
        alike = defaultdict(list)
        for job in jobs:
            if job.is_group():
                take_turns(job, asked.longest(self.plan.site))
            arrays = not job.is_group() and job.rule.name in self.array_jobs
            alike[(job.rule.name, *asks(job)) if arrays else job].append(job)
        for same in alike.values():
            self._submit_array_jobs(same) if len(same) > 1 else self._submit_job(same[0])

    def get_account_arg(self, job: JobExecutorInterface) -> Iterator[str]:
        """What the site says, or SLURM's default; the accounting database, which the plugin asks, may hang."""
        said = job.resources.get("slurm_account")
        yield f" -A {shlex.quote(said)}" if said else ""

    # What becomes of jobs

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        number = job_info.external_jobid
        if "_" in number:  # of an array, whose log has another place than the plugin says
            job_info.aux["slurm_logfile"] = self.slurm_logdir / f"rule_{job_info.job.rule.name}" / f"{number}.log"
        sent.remember(number, {path: self.plan.targets[path]["intent"] for path in targets(job_info.job)})
        super().report_job_submission(job_info, register_job)

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **said: object) -> None:
        """Told of a job that was not taken, too. Snakemake sends it again if it has an attempt left."""
        if job_info.external_jobid is None:
            self.refused(job_info.job, msg or "")
        if job_info.job.is_group():  # of which Snakemake says that it failed, and not why
            self.logger.error(msg)
        super().report_job_error(job_info, msg, **said)

    def refused(self, job: JobExecutorInterface, msg: str) -> None:
        """Decide on a job that SLURM has not taken: while it cannot be reached, no attempt is used up."""
        if LATER.search(msg) or slurm.ask("scontrol", "ping") is None:
            time.sleep(PAUSE)  # in the thread that sends jobs
            self.cancel_unheard(job)
            job.attempt -= 1
        else:
            give_up(job)

    def cancel_unheard(self, job: JobExecutorInterface) -> None:
        """Cancel a job that SLURM took, though its answer was lost: it will be sent again."""
        wildcards = get_job_wildcards(job)
        comment = f"rule_{job.name}_wildcards_{wildcards}" if wildcards else f"rule_{job.name}"
        taken = slurm.ask("squeue", "--me", "--noheader", f"--name={self.run_uuid}", "--format=%A|%k") or ""
        for number, _, said in (line.partition("|") for line in taken.splitlines()):
            if said == comment:
                slurm.ask("scancel", number)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        first = self.workflow.executor_settings.init_seconds_before_status_checks
        found = await self.queue() if active_jobs else {}
        ended = False
        for job_info in active_jobs:
            state, reason, nodes = ("", "", "") if found is None else found.get(job_info.external_jobid, UNKNOWN)
            if state is None and (state := self.missing(job_info, found)) is None:
                yield job_info
            elif state == "COMPLETED":
                job_info.aux["slurm_logfile"].unlink(missing_ok=True)
                self.report_job_success(job_info)
                ended = True
            elif state in slurm.FAILED or (state in slurm.LOST and self.looked(job_info) >= LOOKS):
                self.failed(job_info, state, nodes)
                ended = True
            elif state == "PENDING" and NEVER.fullmatch(reason) and self.looked(job_info) >= LOOKS:
                await run("scancel", job_info.external_jobid)
                give_up(job_info.job)
                self.report_job_error(job_info, f"SLURM can never begin it ({reason}), so it was cancelled. ")
                ended = True
            elif state == "PENDING" and reason in HELD:
                await run("scancel", job_info.external_jobid)
                self.failed(job_info, reason, nodes)
                ended = True
            else:
                yield job_info
        idle = min(SLOWER * (self.next_seconds_between_status_checks or first), SLOWEST)
        self.next_seconds_between_status_checks = first if ended or not active_jobs else idle

    async def queue(self) -> dict[str, tuple[str, ...]] | None:
        """State, reason and nodes of this run's jobs by their numbers; None if the controller does not answer."""
        lines = await run(
            "squeue", "--array", "--noheader", "--states=all", f"--name={self.run_uuid}", "--format=%i|%T|%r|%N"
        )
        if lines is None:
            return None
        rows = (line.split("|") for line in lines.splitlines())
        return {number: tuple(said) for number, *said in rows}

    def missing(self, job_info: SubmittedJobInfo, found: Iterable[str]) -> str | None:
        """What became of a job that SLURM does not know any more (its MinJobAge is over); None: look again first.

        Of an array that it does know, one that was cancelled before it began.
        """
        if self.looked(job_info) < LOOKS:
            return None
        if all(map(self.stands, targets(job_info.job))):
            return "COMPLETED"
        array, _, element = job_info.external_jobid.partition("_")
        return "CANCELLED" if element and array in {number.partition("_")[0] for number in found} else "FAILED"

    def stands(self, path: str) -> bool:
        """Whether a target is there as the plan has it."""
        return read_json(f"{path}.json").get("identity") == self.plan.targets[path]["identity"]

    def looked(self, job_info: SubmittedJobInfo) -> int:
        """How often a job was not where it should be, now too."""
        self.looks[job_info.external_jobid] += 1
        return self.looks[job_info.external_jobid]

    def failed(self, job_info: SubmittedJobInfo, state: str, nodes: str) -> None:
        """Decide whether another job may do better, where, and what that is to ask for; say why this one failed."""
        job, number, said = job_info.job, job_info.external_jobid, sent.words(job_info.external_jobid)
        kind = cause(job_info, state, said)
        if kind is None:
            give_up(job)
        if kind == status.MACHINE and re.fullmatch(r"[\w.-]+", nodes):  # of several, nobody says which
            self._failed_nodes.add(nodes)
        if kind in SIZES and job.attempt <= job.restart_times:
            for member in members(job):
                if not all(map(self.stands, targets(member))):
                    self.grow(member, kind)
        why = said.get("why") or state
        self.report_job_error(job_info, f"SLURM job {number}: {why}. ", aux_logs=[str(job_info.aux["slurm_logfile"])])

    def grow(self, job: JobExecutorInterface, kind: str) -> None:
        """Have the next job of a target ask for more; where it cannot, only what can be gone on with is sent again."""
        (path,), name = targets(job), SIZES[kind]
        target = self.plan.targets[path]
        if asked.grow(target, self.plan.site, name, job.resources.get(name)):
            self.logger.warning(f"{path}: the next job asks for more {kind}")
        elif not ("launch" in target["runtime"] or target["stage"] in READERS):
            give_up(job)


def cause(job_info: SubmittedJobInfo, state: str, said: dict) -> str | None:
    """What a job failed of that another may not; None if that would fail like it.

    Args:
        said: its last words.
    """
    logs = [job_info.aux["slurm_logfile"], *(path for member in members(job_info.job) for path in member.log)]
    if state == "OUT_OF_MEMORY" or any(OUT_OF_MEMORY.search(text(Path(log))) for log in logs):
        return status.MEMORY
    if state == "CANCELLED":  # by a person
        return None
    if state == "TIMEOUT" and said.get("kind") != status.STOPPED:
        return status.TIME
    kind = said["kind"] if said else status.MACHINE
    return kind if kind in (status.TIME, status.MACHINE, status.STOPPED) else None


def text(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def give_up(job: JobExecutorInterface) -> None:
    """Use up a job's attempts."""
    job.attempt = job.restart_times + 1


def members(job: JobExecutorInterface) -> list[JobExecutorInterface]:
    return list(job.jobs) if job.is_group() else [job]


def targets(job: JobExecutorInterface) -> list[str]:
    made = [str(path) for member in members(job) for path in member.output]
    return sorted(path.removesuffix(".run.json") for path in made if path.endswith(".run.json"))


def asks(job: JobExecutorInterface) -> tuple:
    """What a job asks for."""
    return (job.threads, *sorted((name, value) for name, value in job.resources.items() if name != "tmpdir"))


def take_turns(group: GroupJob, longest: float) -> None:
    """Have a group's members take turns on a node that is not too wide, for no more minutes than `longest`.

    Snakemake would ask for what all take that could run side by side.
    """
    wide = max(WIDE, *(member.threads for member in group.jobs))
    sums = GroupResources.basic_layered(
        group.toposorted, constraints=Resources({"_cores": Resource("_cores", wide)}), run_local=False
    )
    group._resources = {**sums, "runtime": int(min(sums["runtime"], longest))}


def running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def run(*command: str) -> str | None:
    """What a command prints; None if it fails. Meanwhile jobs are sent."""
    return await asyncio.to_thread(slurm.ask, *command)
