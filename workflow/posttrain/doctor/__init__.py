"""`posttrain doctor`: whether this machine, and with a profile a cluster, can build what is asked for.

A check says what it found, or refuses with what is wrong and how to mend it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from posttrain.doctor import machine, scheduler
from posttrain.doctor.trial import Trial
from posttrain.files import Refusal
from posttrain.plan import cost
from posttrain.plan.cost import Job
from posttrain.plan.opened import Plan

Check = Callable[[], str]


@dataclass(frozen=True)
class Finding:
    name: str
    words: str
    well: bool = True

    def __str__(self) -> str:
        return f"{'ok' if self.well else 'WRONG':6} {self.name:12} {self.words}"


def examine(plan: Plan, asked: list[str], slurm: bool, wait: float) -> Iterator[Finding]:
    """A line for each check.

    Args:
        asked: what is to be built.
        slurm: whether SLURM is to build it.
        wait: minutes for which a job may wait in the queue.
    """
    jobs = to_run(plan, asked)
    yield from found(machine.checks(plan, jobs, slurm))
    if slurm:
        well = True
        for finding in found(scheduler.checks(plan, jobs)):
            yield finding
            well &= finding.well
        if well:
            yield from found(Trial(plan, jobs, wait).checks())


def to_run(plan: Plan, asked: list[str]) -> list[Job]:
    """The jobs that would run, trainings first: of several, a fault is told of one whose name a person knows."""
    jobs = [job for job in cost.jobs(plan.targets, asked) if job.target["rule"] != "restore"]
    return sorted(jobs, key=lambda job: not job.trains)


def found(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    for name, check in checks:
        try:
            yield Finding(name, check())
        except Refusal as refusal:
            yield Finding(name, str(refusal), well=False)
        except OSError as error:
            yield Finding(name, f"{error.filename}: {error.strerror}", well=False)
