# The frozen plan, and what the rules ask of it. No rules here.
import functools
import gc
import inspect
import os

# What Snakemake imported, and the plan, stay to the end: a collection that looks through them costs a tenth of a dry run.
gc.freeze()

from posttrain import forkserver
from posttrain.build.processes import threads
from posttrain.plan import pictures
from posttrain.plan.asked import SPREAD, shell_prefix
from posttrain.plan.opened import open_plan

plan = open_plan(
    os.path.relpath(os.path.dirname(str(workflow.current_basedir))),
    config,
    main=workflow.is_main_process,
    deploys=bool(workflow.deployment_settings.deployment_method),
    gpus=given.value if (given := workflow.global_resources.get("gpu")) else None,
)
gc.freeze()

shell.prefix(shell_prefix(plan.site))

SIGNATURE = inspect.signature(lambda wildcards: None)  # said once: Snakemake works it out anew for every job


def asks(question):
    """Let rules ask it of their own target: of `kind/{name}`, or of `{target}` where no kind is given."""

    @functools.wraps(question)
    def put(kind=None, *details):
        def answer(wildcards):
            return question(f"{kind}/{wildcards.name}" if kind else wildcards.target, *details)

        answer.__signature__ = SIGNATURE
        return answer

    return put


@asks
def trigger(path):
    return plan.trigger(path)


@asks
def manifest(path, role):
    return plan.targets[path]["inputs"][role] + ".json"


@asks
def folder(path, role):
    return plan.targets[path]["inputs"][role]


def folders_of(path):
    return sorted(set(plan.targets[path]["inputs"].values()))


@asks
def manifests(path):
    return [f"{made}.json" for made in folders_of(path)]


@asks
def folders(path):
    return folders_of(path)


@asks
def reported(path):
    return [f"{made}.json" for made in plan.reported(path)]


@asks
def reported_runs(path):
    return [f"{made}.run.json" for made in plan.reported(path)]


@asks
def reported_folders(path):
    return plan.reported(path)


@asks
def looked_at(path):
    return [f"{made}.json" for made in plan.looked_at(path)]


@asks
def looked_at_folders(path):
    return plan.looked_at(path)


def every_picture(wildcards):
    return [f"docs/pictures/{name}.svg" for name in pictures.read(plan.root)]


def pictured(wildcards):
    return [f"{made}.json" for made in pictured_folders(wildcards)]


def pictured_folders(wildcards):
    return pictures.made_of(pictures.picture(plan.root, wildcards.picture))


def drawn_of(wildcards):
    return pictures.drawn_of(plan.targets, pictures.picture(plan.root, wildcards.picture))


@asks
def told(path, of, ending=""):
    """What a card tells of, or what is sent with a model: the folders, or what stands beside them."""
    return [f"{made}{ending}" for made in getattr(plan, of)(path)]


@asks
def described(path):
    return plan.described(path)


@asks
def sources(path):
    return list(plan.targets[path]["files"].values())


@asks
def threads_of(path):
    return threads(plan.targets[path]["runtime"])


@asks
def resource(path, name):
    return plan.resource(path, name)


def asked(kind, *more):
    """What the job of a target asks the scheduler for: memory, time, and more; and where the site has it."""
    return {name: resource(kind, name) for name in (*plan.resources, *more)}


@asks
def group(path):
    """The light stages that one SLURM job makes together. A dry run shows each for itself."""
    return None if workflow.dryrun else plan.groups.of(path)


@asks
def twin(path):
    made = plan.targets[path]["twin"]
    return [f"{made}.json"] if made else []


def here(wildcards):
    """For `conda`: where Snakemake runs, which is not for --sdm conda to make anew."""


@asks
def conda(path):
    """What --sdm conda makes the environment of, if a stage cannot run where Snakemake does."""
    name = plan.targets[path]["environment"]
    return f"../envs/{name}.yaml" if name in ("sample", "evaluate") else None


@asks
def container(path):
    """What --sdm apptainer opens."""
    return plan.container(path)


def suggestion(wildcards):
    raise plan.suggest(wildcards.nope)
