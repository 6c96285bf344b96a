"""Figures of models."""

from collections.abc import Iterator

from posttrain.plan.stages import models, rows, samples
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
    for i, name in enumerate(recipe.models):
        model = models.model(plan, entry, ("models", i), name)
        stage = samples.stage_of(plan, model)
        rewards = stage == "train_reward"
        if rewards != (of == "pairs") and stage not in samples.UNKNOWN:
            why = "is a reward model: evaluate it on `pairs`" if rewards else "is not of method reward: it has no score"
            raise entry.refuse(("models", i), f"{name} {why}")
        names = {"model": name, field: getattr(recipe, field), **verifies.names}
        names |= {"first": recipe.drift_from} if first else {}
        inputs = {**opened(plan, "model", model), **first, "rows": read}
        needs = {"environment": samples.environment(entry, inputs)} if of == "prompts" else {}
        made = Target(f"evals/{name}/{suite}", "evaluate_model", own, names, inputs, texts=verifies.texts, **needs)
        made.runtime = recipe.runtime.model_dump()
        yield made
