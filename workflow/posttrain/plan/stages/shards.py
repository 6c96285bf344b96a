"""Jobs that share the work of one target."""

from dataclasses import replace

from posttrain.plan.targets import Target, Targets
from posttrain.recipes import identity
from posttrain.recipes.runtime import ReadRuntime

# What an evaluation does with its answers: no shard hangs on it.
MARKING = ("verifier", "args", "time_limit", "file")
MEASURING = ("filter_list", "metric_list", "metadata")  # of a task


def parts(plan: Targets, made: Target, stage: str, of: int, counted: str) -> dict[str, str]:
    """The shards of a target, each a job with its runtime, as inputs of what gathers them.

    Args:
        counted: the field of a shard that says how many there are.
    """
    own = {key: value for key, value in made.own.items() if key not in ("stage", "version")}
    found, name = {}, made.path.partition("/")[2]
    for i in range(of):
        path = f"shards/{name}.{i + 1}of{of}" if name else "shards/"  # those of an internal target are internal
        shard = replace(made, path=path, stage=stage, own=own | {"shard": i, counted: of})
        found[f"{identity.SHARD}{i}"] = plan.add(shard)
    return found


def measured(plan: Targets, made: Target, runtime: ReadRuntime) -> Target:
    """An evaluation, by one job, or gathered from what several were answered: then it needs no GPU itself."""
    made.runtime, of = runtime.model_dump(exclude={"shards"}), getattr(runtime, "shards", 1)
    if of == 1:
        return made
    gathered = made.inputs | parts(plan, asking(made), "evaluate_shard", of, "shards")
    return replace(made, inputs=gathered, runtime=made.runtime | {"gpus": 0})


def asking(made: Target) -> Target:
    """An evaluation as its shards know it: another verifier or metric asks no model anew."""
    own, names = without(made.own, MARKING), without(made.names, MARKING)
    if "tasks" in made.own:
        own["tasks"] = {name: asking_of(said) for name, said in made.own["tasks"].items()}
    return replace(made, own=own, names=names, texts={})


def asking_of(task: dict) -> dict:
    return {"config": without(task["config"], MEASURING)} if "config" in task else task


def without(said: dict, keys: tuple[str, ...]) -> dict:
    return {key: value for key, value in said.items() if key not in keys}
