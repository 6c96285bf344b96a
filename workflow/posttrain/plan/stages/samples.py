"""What is sampled from models: completions."""

from dataclasses import replace

from posttrain.files import Refusal
from posttrain.plan.stages import models, rows, shards
from posttrain.plan.stages.weights import opened, origin
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import conversations, sampling
from posttrain.recipes.catalogue import Named

UNKNOWN = ("fetch_snapshot", "imitate_snapshot", "adopt_folder")  # stages of models that may be of any method


def sampled(plan: Targets, entry: Named) -> Target:
    """Completions of a data set's prompts."""
    recipe = entry.recipe
    inputs = {**answering(plan, entry, "model"), "prompts": rows.split_of(plan, entry, "prompts", "data")}
    names = {"model": recipe.model, "prompts": recipe.prompts}
    return gathered(plan, entry, entry.path, inputs, names, conversation_of(plan, entry))


def answers(plan: Targets, entry: Named, model: dict[str, str], read: str, every_turn: bool = False) -> str:
    """What a model answers to an evaluation's prompts: once for all that compare with it, and for every judge.

    Args:
        model: the inputs of what opens it.
        every_turn: whether each of a prompt's questions is answered, or the last alone.
    """
    conversation = {"every_turn": True} if every_turn else None
    return plan.add(gathered(plan, entry, "answers/", model | {"prompts": read}, {}, conversation))


def gathered(
    plan: Targets, entry: Named, path: str, inputs: dict[str, str], names: dict[str, str], conversation: dict | None
) -> Target:
    """Completions as an entry says them: shards, each a job of its own, and what is gathered from them."""
    recipe, needs = entry.recipe, {"environment": environment(entry, inputs)}
    own = {"split": recipe.split, "sampling": sampling_of(plan, recipe.sampling), "conversation": conversation}
    made = Target(path, "gather_completions", own, names, inputs, **needs)
    asks = replace(made, runtime={"processes": 1} | recipe.runtime.model_dump(exclude={"shards"}))
    return replace(made, inputs=inputs | shards.parts(plan, asks, "sample_shard", recipe.runtime.shards, "of"))


def sampling_of(plan: Targets, said: sampling.Sampling) -> dict:
    return said.model_dump() | ({"ends": True} if plan.stand_ins else {})


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
    return made | ({"few_shot": made["few_shot"][:2]} if plan.stand_ins else {})  # a token is a byte in a rehearsal


def answering(plan: Targets, entry: Named, key: str, role: str = "model") -> dict[str, str]:
    """The model that a field names, which answers, as inputs of what asks it."""
    name = getattr(entry.recipe, key)
    model = models.model(plan, entry, key, name)
    if stage_of(plan, model) == "train_reward":
        raise entry.refuse((key,), f"{name} is a reward model: it scores, and answers nothing")
    return opened(plan, role, model)


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


def environment(entry: Named, inputs: dict[str, str], key: str = "sampling", role: str = "model") -> str:
    """What a model answers in, as an entry samples it: vLLM has environments of its own, for it pins other versions."""
    engine = getattr(entry.recipe, key).engine
    return "train" if engine == "transformers" else of_vllm(entry, inputs, (key, "engine"), role)


def of_vllm(entry: Named, inputs: dict[str, str], key: tuple, role: str = "model") -> str:
    """vLLM's environment. Raises: Refusal, if what it is to open is an adapter."""
    if f"{role}.weights" in inputs:
        why = f"vllm opens whole weights, and {inputs[role]} is an adapter; name its merge (`method: merge`)"
        raise entry.refuse(key, why)
    return "sample" if entry.recipe.runtime.of(role).gpus else "sample-cpu"


def stage_of(plan: Targets, path: str) -> str:
    return origin(plan, path).stage
