"""Figures of models."""

from collections.abc import Iterator

from posttrain.plan.stages import models, rows, samples, shards
from posttrain.plan.stages.verifiers import Verifying, verifying
from posttrain.plan.stages.weights import opened
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import evaluations
from posttrain.recipes.catalogue import Named

# Of each kind what its figures are of, the field that names its rows, and their section.
ROWS = {
    evaluations.AnswersEvaluation: ("prompts", "prompts", "data"),
    evaluations.DriftEvaluation: ("drift", "prompts", "data"),
    evaluations.PairsEvaluation: ("pairs", "pairs", "preferences"),
    evaluations.TextEvaluation: ("text", "text", "data"),
}


def evaluated(plan: Targets, entry: Named) -> Iterator[Target]:
    """A target for each model that an evaluation names."""
    recipe, suite = entry.recipe, entry.path.split("/", 1)[1]
    of, field, section = ROWS[type(recipe)]
    read = rows.split_of(plan, entry, field, section)
    own = {"of": of, **recipe.model_dump(exclude={"models", "runtime", "drift_from", field})}
    verifies = verifying(plan, entry) if of == "prompts" else Verifying({})
    own |= verifies.own
    first = samples.answering(plan, entry, "drift_from", "first") if of == "drift" else {}
    for name, model in answering(plan, entry, scores=of == "pairs"):
        names = {"model": name, field: getattr(recipe, field), **verifies.names}
        names |= {"first": recipe.drift_from} if first else {}
        inputs = {**model, **first, "rows": read}
        needs = {"environment": samples.environment(entry, inputs)} if of == "prompts" else {}
        made = Target(f"evals/{name}/{suite}", "evaluate_model", own, names, inputs, texts=verifies.texts, **needs)
        yield shards.measured(plan, made, recipe.runtime)


def answering(plan: Targets, entry: Named, scores: bool = False) -> Iterator[tuple[str, dict[str, str]]]:
    """The models that an evaluation names, each as inputs of what opens it.

    Args:
        scores: whether they are to be reward models, which answer nothing.
    """
    for i, name in enumerate(entry.recipe.models):
        model = models.model(plan, entry, ("models", i), name)
        stage = samples.stage_of(plan, model)
        rewards = stage == "train_reward"
        if rewards != scores and stage not in samples.UNKNOWN:
            why = "is a reward model: evaluate it on `pairs`" if rewards else "is not of method reward: it has no score"
            raise entry.refuse(("models", i), f"{name} {why}")
        yield name, opened(plan, "model", model)
