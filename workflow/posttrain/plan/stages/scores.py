"""What completions are worth, by scorers of each kind, and the rows that are chosen by it."""

from pathlib import Path

from posttrain.files import Refusal
from posttrain.plan.stages import models
from posttrain.plan.stages.samples import UNKNOWN, answering, environment, sampling_of, stage_of
from posttrain.plan.stages.verifiers import verifying
from posttrain.plan.stages.weights import opened
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import rubric, scoring
from posttrain.recipes.catalogue import Named


def verified(plan: Targets, entry: Named) -> Target:
    """Scores by a function."""
    verifies = verifying(plan, entry)
    own = verifies.own | {"on_error": entry.recipe.on_error}
    return scored(plan, entry, own, verifies.names, {}, verifies.texts)


def rewarded(plan: Targets, entry: Named) -> Target:
    """Scores by a reward model."""
    recipe = entry.recipe
    inputs = opened(plan, "reward_model", models.model(plan, entry, "reward_model", recipe.reward_model))
    if stage_of(plan, inputs["reward_model"]) not in ("train_reward", *UNKNOWN):
        raise entry.refuse(("reward_model",), f"{recipe.reward_model} is not of method reward: it has no score to give")
    return scored(plan, entry, recipe.model_dump(include={"max_length"}), {"reward_model": recipe.reward_model}, inputs)


def judged(plan: Targets, entry: Named) -> Target:
    """Scores by a model's verdicts."""
    recipe = entry.recipe
    own = recipe.model_dump(include={"mode", *scoring.OF_MODE[recipe.mode]})
    own["sampling"] = sampling_of(plan, recipe.sampling)
    names = {"judge": recipe.judge, "rubric": recipe.rubric}
    texts = {"rubric": rubric_of(plan, entry, recipe.mode)}
    made = scored(plan, entry, own, names, answering(plan, entry, "judge"), texts)
    made.environment = environment(entry, made.inputs)
    if recipe.mode == "pairwise" and plan.all[made.inputs["completions"]].own.get("sampling", {}).get("n") == 1:
        raise entry.refuse(("mode",), f"pairwise compares a prompt's completions, and {recipe.completions} has n: 1")
    return made


def rubric_of(plan: Targets, entry: Named, mode: str) -> str:
    """The text of the rubric that a recipe names, which asks for a verdict of a mode."""
    try:
        return rubric.read([folder.with_name("judges") for folder in plan.templates], entry.recipe.rubric, mode)
    except Refusal as refusal:
        raise entry.refuse(("rubric",), str(refusal)) from None


def scored(plan: Targets, entry: Named, own: dict, names: dict, inputs: dict, texts: dict | None = None) -> Target:
    """Scores of the completions that a recipe names, or whose scores it adds."""
    if hasattr(entry.recipe, "completions"):
        inputs = {"completions": plan.named_by(entry, "completions", "completions")} | inputs
    names = {"completions": inputs["completions"].partition("/")[2]} | names
    own = own | ({"by_lot": True} if plan.stand_ins else {})
    runtime = entry.recipe.runtime.model_dump()
    return Target(entry.path, "score_completions", own, names, inputs, texts=texts or {}, runtime=runtime)


def combined(plan: Targets, entry: Named) -> Target:
    """Sums of scores."""
    own, inputs = entry.recipe.model_dump(include={"combine"}), {}
    for name in entry.recipe.combine:
        at = ("combine", name)
        part = plan.known(entry, at, f"scores/{name}")
        of = scored_by(plan, entry, at, part)
        if of != inputs.setdefault("completions", of):
            why = f"is of {of}, and the one before it of {inputs['completions']}: add scores of the same completions"
            raise entry.refuse(at, why)
        inputs[f"scores.{name}"] = part
    return scored(plan, entry, own, {}, inputs)


def scored_by(plan: Targets, entry: Named, at: tuple, path: str) -> str:
    """The completions that a target has the scores of."""
    if "completions" not in plan.all[path].inputs:
        raise entry.refuse(at, f"{Path(path).name} was adopted, and does not say whose scores it holds")
    return plan.all[path].inputs["completions"]


def selected(plan: Targets, entry: Named) -> Target:
    """Rows or pairs chosen from scored completions."""
    recipe, found = entry.recipe, plan.named_by(entry, "scores", "scores")
    inputs = {"scores": found, "completions": scored_by(plan, entry, ("scores",), found)}
    stage = "select_data" if isinstance(recipe, scoring.SelectedData) else "select_preferences"
    own = recipe.model_dump(exclude={"runtime", "scores"})
    return Target(entry.path, stage, own, {"scores": recipe.scores}, inputs, runtime=recipe.runtime.model_dump())
