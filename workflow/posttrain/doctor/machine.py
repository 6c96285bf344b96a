"""What this machine has for a build."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_token

from posttrain.build import environments, gpus, processes, sandbox, tracking
from posttrain.doctor import launched
from posttrain.files import Refusal
from posttrain.hub.asking import LOGIN, unreached
from posttrain.plan import cost
from posttrain.plan.cost import Job
from posttrain.plan.opened import Plan
from posttrain.recipes.benchmarks import runs_code
from posttrain.recipes.environments import APART
from posttrain.words import volume

SPARE = 1e9  # bytes: with less free there is no room for anything
MOVE = "say another `store:` or `scratch:` in config/site.yaml"


def checks(plan: Plan, jobs: list[Job], slurm: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions", partial(versions, plan, jobs)
    for name in sorted({job.target["environment"] for job in jobs} & APART.keys()):
        yield name, partial(environment, plan, name)
    if any(runs_code(job.target["own"]) for job in jobs):
        yield "sandbox", sandbox.check
    yield "GPUs", partial(cards, jobs, slurm)
    yield "store", partial(folder, plan.store.root)
    yield "work", partial(work, plan.store.root)
    yield "hub", partial(hub, jobs)
    yield "all-reduce", partial(together, plan)


def versions(plan: Plan, jobs: list[Job]) -> str:
    """Those of the environment that trains, and what some jobs want besides."""
    found = environments.versions()
    environments.refuse_other_versions("train", found, plan.environments["train"]["locked"])
    for runtime in (job.target["runtime"] for job in jobs):
        processes.check_launch(runtime.get("launch", "single"))
        tracking.check(runtime.get("tracking", "none"))
    return f"torch {found['torch']} and {len(found) - 1} more, as envs/train.lock says"


def environment(plan: Plan, name: str) -> str:
    """One with other versions."""
    if image := environments.image(name, plan.site):
        if not shutil.which("apptainer"):
            raise Refusal(f"config/site.yaml: environments.{name}: {image} is an image, and there is no apptainer here")
        return f"{image}, which `--sdm apptainer` opens"
    found = environments.find(name, plan.site, plan.root)
    environments.refuse_other_versions(name, found.versions, plan.environments[name]["locked"])
    return f"{APART[name]} {found.versions[APART[name]]} in {environments.place(name, plan.site)}"


def cards(jobs: list[Job], slurm: bool) -> str:
    """The GPUs of this machine, against the most that a job asks for."""
    there = len(gpus.visible())
    most = max(jobs, key=lambda job: job.gpus, default=None)
    if not slurm and most and most.gpus > there:
        raise Refusal(
            f"{there} here, and {most.path} asks for {most.gpus}; build it with `--profile slurm`, or lower `gpus` in "
            "config/site.yaml"
        )
    return f"{there} here; the most that a job asks for is {most.gpus if most else 0}"


def folder(place: Path) -> str:
    """A folder that is, or will be, written to."""
    there = cost.standing_part(place)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise Refusal(f"{there}: cannot be written to: {error.strerror}; {MOVE}") from None
    if cost.free(place) < SPARE:
        raise Refusal(f"{place.resolve()}: {volume(cost.free(place))} are free; free some (`posttrain gc`), or {MOVE}")
    return f"{place.resolve()}, {volume(cost.free(place))} free"


def work(store: Path) -> str:
    """The folder that jobs work in."""
    place = Path("work")
    if cost.disk(place) == cost.disk(store):
        return f"{folder(place)}, on one file system with the store: a result is moved there at once"
    return f"{folder(place)}, on another file system than the store: each result is copied there"


def hub(jobs: list[Job]) -> str:
    """The hub, as far as something is to be fetched from it."""
    fetched = [job for job in jobs if job.target["stage"] == "fetch_snapshot"]
    name, token = httpx2.URL(constants.ENDPOINT).host, get_token()
    if why := unreached():
        if fetched:
            raise Refusal(
                f"{name} cannot be reached ({why}), which {fetched[0].path} is to be fetched from, of {len(fetched)}; "
                "set HTTPS_PROXY or HF_ENDPOINT, or `posttrain adopt` what is here already"
            )
        return f"{name} cannot be reached ({why}), and nothing is to be fetched from it"
    if not token and (gated := next((job for job in fetched if job.target["gated"]), None)):
        raise Refusal(f"{gated.target['own']['repo_id']} is gated, and no token is here: accept its terms, and {LOGIN}")
    return f"{name} answers; {'a token' if token else 'no token'} is here"


def together(plan: Plan) -> str:
    """Two processes, launched as a training's are; on GPUs, of those that no job has."""
    there, held = gpus.visible(), []
    mine = gpus.claim(there, min(2, len(there)), held) if there else []
    with launched.opened() as place, contextlib.ExitStack() as locks:
        for lock in held:
            locks.enter_context(lock)
        launched.ask(place, launched.runtime(nodes=1, gpus=len(mine)), plan)
        with open(place / launched.LOG, "w") as log:
            ended = launched.launch(place, log, CUDA_VISIBLE_DEVICES=",".join(mine))
        heard = launched.heard(place)
        if not ended:
            (place / launched.LOG).unlink()
    return heard.together() + (f"; {heard.cards(len(mine))}" if mine else "")
