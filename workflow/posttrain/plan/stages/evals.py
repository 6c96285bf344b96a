"""Figures of models."""

from collections.abc import Iterator
from dataclasses import replace

from posttrain.plan.stages import models, rows, samples, scores, shards
from posttrain.plan.stages.verifiers import Verifying, verifying
from posttrain.plan.stages.weights import opened
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import evaluations
from posttrain.recipes.catalogue import Named

# Of each kind what its figures are of, the field that names its rows, and their section.
ROWS = {
    evaluations.AnswersEvaluation: ("prompts", "prompts", "data"),
    evaluations.DriftEvaluation: ("drift", "prompts", "data"),
    evaluations.RatedEvaluation: ("ratings", "prompts", "data"),
    evaluations.ComparedEvaluation: ("wins", "prompts", "data"),
    evaluations.PairsEvaluation: ("pairs", "pairs", "preferences"),
    evaluations.TextEvaluation: ("text", "text", "data"),
}
BESIDE = {"drift_from": "first", "judge": "judge", "reference": "reference"}  # fields of other models, and their roles
JUDGED = {"ratings": "pointwise", "wins": "pairwise"}  # how a judge is asked
ENGINES = {"prompts": ("sampling", "model"), **dict.fromkeys(JUDGED, ("judging", "judge"))}  # of which any may be asked
APART = {"models", "runtime", "rubric", "against", *BESIDE}  # what is no recipe's own: circumstance, inputs, texts


def evaluated(plan: Targets, entry: Named) -> Iterator[Target]:
    """A target for each model that an evaluation names."""
    recipe, suite = entry.recipe, entry.path.split("/", 1)[1]
    of, field, section = ROWS[type(recipe)]
    read = rows.split_of(plan, entry, field, section)
    by = marking(plan, entry, of)
    own = {"of": of, **recipe.model_dump(exclude=APART | {field}), **by.own}
    names, beside = {field: getattr(recipe, field), **by.names}, {"rows": read}
    for key, role in BESIDE.items():
        if name := getattr(recipe, key, None):
            names[role] = name
            beside |= samples.answering(plan, entry, key, role)
    if of == "wins":
        names["against"] = recipe.against
        beside["against"] = samples.answers(plan, entry, samples.answering(plan, entry, "against"), read)
    for name, model in answering(plan, entry, scores=of == "pairs"):
        inputs = model | beside
        if of in JUDGED:  # of which the judge alone is opened
            answers = samples.answers(plan, entry, model, read, every_turn=of == "ratings")
            inputs = {"model": model["model"], "answers": answers, **beside}
        needs = {"environment": samples.environment(entry, inputs, *ENGINES[of])} if of in ENGINES else {}
        said = {"model": name, **names}
        made = Target(f"evals/{name}/{suite}", "evaluate_model", own, said, inputs, texts=by.texts, **needs)
        if of in JUDGED:  # whose shards are those of the answers
            runtime = recipe.runtime.of("judge")
            at = {} if runtime is recipe.runtime else {"at": "runtime.judge"}
            yield replace(made, runtime=runtime.model_dump(exclude={"shards"}) | at)
        else:
            yield shards.measured(plan, made, recipe.runtime)


def marking(plan: Targets, entry: Named, of: str) -> Verifying:
    """What says how good an answer is: a verifier, or what a judge is asked."""
    if of == "prompts":
        return verifying(plan, entry)
    if of not in JUDGED:
        return Verifying({})
    own = {"judging": samples.sampling_of(plan, entry.recipe.judging)} | ({"by_lot": True} if plan.stand_ins else {})
    text = scores.rubric_of(plan, entry, JUDGED[of])
    return Verifying(own, {"rubric": entry.recipe.rubric}, {"rubric": text})


def answering(plan: Targets, entry: Named, scores: bool = False) -> Iterator[tuple[str, dict[str, str]]]:
    """The models that an evaluation names, each as inputs of what opens it.

    Args:
        scores: whether they may be reward models, which answer nothing.
    """
    for i, name in enumerate(entry.recipe.models):
        model = models.model(plan, entry, ("models", i), name)
        if samples.stage_of(plan, model) == "train_reward":
            if not scores:
                raise entry.refuse(("models", i), f"{name} is a reward model: evaluate it on `pairs`")
            if entry.recipe.reference:
                why = f"{name} is a reward model, and its scores are taken as they are; leave it out"
                raise entry.refuse(("reference",), why)
        yield name, opened(plan, "model", model)
