"""Figures by lm-eval's tasks."""

from collections.abc import Iterator
from pathlib import Path

from posttrain.files import Refusal
from posttrain.plan.stages import evals, rows, samples, shards
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import benchmarks
from posttrain.recipes.catalogue import Named
from posttrain.recipes.names import HUB_ID
from posttrain.words import did_you_mean

ELSEWHERE = {"models", "tasks", "runtime"}  # of a recipe: what is said of the target otherwise
DATA = "data."  # begins the role of a task's data set


def benchmarked(plan: Targets, entry: Named) -> Iterator[Target]:
    """A target for each model; in a rehearsal figures by lot, for lm-eval's rows are nothing that could be made up."""
    recipe, suite = entry.recipe, entry.path.split("/", 1)[1]
    suited = Target(entry.path, "evaluate_model", {})
    tasks = {name: task(plan, entry, suited, i) for i, name in enumerate(recipe.tasks)}
    own = {"of": "tasks", "tasks": tasks, **recipe.model_dump(exclude=ELSEWHERE)}
    if plan.stand_ins:
        own |= {"by_lot": True}
        suited.inputs = {}
    for name, inputs in evals.answering(plan, entry):
        made = Target(f"evals/{name}/{suite}", "evaluate_model", own, {"model": name, **suited.names})
        made.inputs, made.files = {**inputs, **suited.inputs}, suited.files
        made.environment = "train" if plan.stand_ins else environment(entry, inputs)
        yield shards.measured(plan, made, recipe.runtime)


def environment(entry: Named, inputs: dict[str, str]) -> str:
    return "evaluate" if entry.recipe.engine == "transformers" else samples.of_vllm(entry, inputs, ("engine",))


def task(plan: Targets, entry: Named, suited: Target, i: int) -> dict:
    """What a task is; its rows become inputs or files of the target."""
    name, at = entry.recipe.tasks[i], ("tasks", i)
    if entry.recipe.tasks.index(name) < i:
        raise entry.refuse(at, f"{name} is named twice")
    folders = [folder.with_name("tasks") for folder in plan.templates]
    own = {file.stem for folder in folders for file in folder.glob("*.yaml")}
    if name not in benchmarks.KNOWN | dict.fromkeys(own):
        raise entry.refuse(at, f"there is no task {name!r}. {did_you_mean(name, [*own, *benchmarks.KNOWN])}")
    if name not in own:
        return known(plan, entry, suited, name)
    if theirs := benchmarks.namesake(name):
        why = f"{name} is called as lm-eval's {theirs} or a part of it; call the one of config/tasks otherwise"
        raise entry.refuse(at, why)
    try:
        found = benchmarks.read(folders, name)
        refuse_no_examples(entry, found)
        return {"config": placed(plan, suited, found)}
    except Refusal as refusal:
        raise entry.refuse(at, str(refusal)) from None


def refuse_no_examples(entry: Named, own: benchmarks.Task) -> None:
    """Raises: Refusal, if a suite asks a task after examples that it has none of."""
    shots = entry.recipe.num_fewshot
    if shots and own.num_fewshot is None and not own.fewshot_split:
        raise Refusal(
            f"{own.task}.yaml: fewshot_split is missing: where the suite's num_fewshot {shots} are drawn from; "
            "or say `num_fewshot: 0` there, of a task that is never asked after any"
        )


def known(plan: Targets, entry: Named, suited: Target, name: str) -> dict:
    """A task of lm-eval's own."""
    benchmark = benchmarks.KNOWN[name]
    if not plan.stand_ins:
        suited.inputs[f"{DATA}{name}"] = plan.hub("datasets", benchmark.dataset)
    suited.names[f"{DATA}{name}"] = benchmark.dataset
    if benchmark.nltk and not plan.stand_ins:
        suited.inputs["nltk"] = plan.wheel(entry, ("tasks",), benchmarks.NLTK_WHEEL)
    return {"version": benchmark.version, "runs_code": benchmark.runs_code}


def placed(plan: Targets, suited: Target, own: benchmarks.Task) -> dict:
    """A task of one's own, less the places of its rows."""
    said = own.model_dump(exclude_none=True)
    if own.dataset_kwargs:
        for split, path in own.dataset_kwargs.data_files.items():
            role, place = f"{DATA}{own.task}.{split}", plan.here / Path(path).expanduser()
            if not place.is_file():
                raise Refusal(f"{own.task}.yaml: dataset_kwargs.data_files.{split}: {rows.no_file(plan, place, path)}")
            suited.files[role], suited.names[role] = str(place), path
        return said | {"dataset_kwargs": {"data_files": sorted(own.dataset_kwargs.data_files)}}
    if not HUB_ID.fullmatch(own.dataset_path):
        forms = ", ".join(benchmarks.FORMS)
        raise Refusal(
            f"{own.task}.yaml: dataset_path: {own.dataset_path!r} is none of {forms} and no hub id (org/name)"
        )
    if not plan.stand_ins:
        suited.inputs[f"{DATA}{own.task}"] = plan.hub("datasets", own.dataset_path)
    return said
