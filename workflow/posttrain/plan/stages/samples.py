"""What is sampled from models: completions, their scores, and the rows that are chosen from them."""

from typing import Any

from posttrain.files import Refusal
from posttrain.plan.stages import models, rows
from posttrain.plan.stages.functions import arguments
from posttrain.plan.stages.weights import opened, origin
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import conversations, identity, sampling
from posttrain.recipes.catalogue import Named
from posttrain.score import verifiers
from posttrain.words import did_you_mean

UNKNOWN = ("fetch_snapshot", "imitate_snapshot", "adopt_folder")  # stages of models that may be of any method


def sampled(plan: Targets, entry: Named) -> Target:
    """Completions of a data set's prompts: shards, each a job of its own, and what is gathered from them."""
    recipe = entry.recipe
    model = models.model(plan, entry, "model", recipe.model)
    if stage_of(plan, model) == "train_reward":
        raise entry.refuse(("model",), f"{recipe.model} is a reward model: it scores, and answers nothing")
    inputs = {**opened(plan, "model", model), "prompts": rows.split_of(plan, entry, "prompts", "data")}
    names = {"model": recipe.model, "prompts": recipe.prompts}
    own = recipe.model_dump(include={"split", "sampling"})
    own["sampling"] |= {"ends": True} if plan.stand_ins else {}
    own["conversation"] = conversation_of(plan, entry)
    needs = {"environment": environment(entry, inputs)}
    runtime, of = recipe.runtime.model_dump(exclude={"shards"}) | {"processes": 1}, recipe.runtime.shards
    shards = {}
    for i in range(of):
        path = f"shards/{entry.path.partition('/')[2]}.{i + 1}of{of}"
        shard = Target(path, "sample_shard", own | {"shard": i, "of": of}, names, inputs, runtime=runtime, **needs)
        shards[f"{identity.SHARD}{i}"] = plan.add(shard)
    return Target(entry.path, "gather_completions", own, names, inputs | shards, **needs)


def conversation_of(plan: Targets, entry: Named) -> dict | None:
    """What is asked beside each prompt, with what a constitution's file says in its place."""
    if not entry.recipe.conversation:
        return None
    folders = [folder.with_name("constitutions") for folder in plan.templates]
    try:
        made = conversations.resolved(entry.recipe.conversation, folders)
    except Refusal as refusal:
        raise entry.refuse(("conversation", "constitution"), str(refusal)) from None
    for i in range(len(made["follow_ups"])):
        if why := conversations.why_not(made, i):
            raise entry.refuse(("conversation", "follow_ups", i), why)
    return made | ({"few_shot": made["few_shot"][:2]} if plan.stand_ins else {})


def scored(plan: Targets, entry: Named) -> Target:
    """A score for each completion, of a reward model or a verifier."""
    recipe = entry.recipe
    inputs = {"completions": plan.named_by(entry, "completions", "completions")}
    names = {"completions": recipe.completions}
    lot = {"by_lot": True} if plan.stand_ins else {}
    if recipe.verifier:
        own = {"verifier": recipe.verifier, "args": verifier_arguments(entry), **lot}
        return Target(entry.path, "score_completions", own, names, inputs, runtime=recipe.runtime.model_dump())
    inputs |= opened(plan, "reward_model", models.model(plan, entry, "reward_model", recipe.reward_model))
    if stage_of(plan, inputs["reward_model"]) not in ("train_reward", *UNKNOWN):
        raise entry.refuse(("reward_model",), f"{recipe.reward_model} is not of method reward: it has no score to give")
    names["reward_model"] = recipe.reward_model
    own = recipe.model_dump(include={"max_length"}) | lot
    return Target(entry.path, "score_completions", own, names, inputs, runtime=recipe.runtime.model_dump())


def selected(plan: Targets, entry: Named) -> Target:
    """Rows or pairs chosen from scored completions."""
    recipe = entry.recipe
    scores = plan.named_by(entry, "scores", "scores")
    inputs = {"scores": scores, "completions": plan.all[scores].inputs.get("completions", scores)}
    if inputs["completions"] == scores:
        raise entry.refuse(("scores",), f"{recipe.scores} was adopted, and does not say whose scores it holds")
    stage = "select_data" if isinstance(recipe, sampling.SelectedData) else "select_preferences"
    own = recipe.model_dump(exclude={"runtime", "scores"})
    return Target(entry.path, stage, own, {"scores": recipe.scores}, inputs, runtime=recipe.runtime.model_dump())


def answered(plan: Targets, entry: Named) -> Target:
    """Rows of conversations: their last answers, or those against their first."""
    recipe = entry.recipe
    completions = plan.named_by(entry, "completions", "completions")
    pairs, made = isinstance(recipe, sampling.LastOverFirst), plan.all[completions]
    said = made.own.get("conversation")
    if made.stage == "gather_completions" and not (said and said["follow_ups"] if pairs else said):
        wanted = "a `conversation` with `follow_ups`" if pairs else "a `conversation`"
        raise entry.refuse(("completions",), f"{recipe.completions} has not {wanted}; `scores:` select from any")
    own, stage = recipe.model_dump(include={"select", "half"}), "select_revisions" if pairs else "select_answers"
    names, inputs = {"completions": recipe.completions}, {"completions": completions}
    return Target(entry.path, stage, own, names, inputs, runtime=recipe.runtime.model_dump())


def environment(entry: Named, inputs: dict[str, str]) -> str:
    """What an entry's model answers in: vLLM has environments of its own, for it pins other versions than training."""
    recipe = entry.recipe
    if recipe.sampling.engine == "transformers":
        return "train"
    if "model.weights" in inputs:
        why = f"vllm opens whole weights, and {inputs['model']} is an adapter; name its merge (`method: merge`)"
        raise entry.refuse(("sampling", "engine"), why)
    return "sample" if recipe.runtime.gpus else "sample-cpu"


def stage_of(plan: Targets, path: str) -> str:
    return origin(plan, path).stage


def verifier_arguments(entry: Named) -> dict[str, Any]:
    made = arguments(entry, (), "verifier", verifiers.KNOWN, given=2)  # the completion and the reference
    if entry.recipe.verifier == "reasoning_gym" and (task := made["task"]) not in verifiers.TASKS:
        said = f"{task!r} is none of the tasks that posttrain.score.verifiers takes"
        raise entry.refuse(("args", "task"), f"{said}. {did_you_mean(task, list(verifiers.TASKS))}")
    return made
