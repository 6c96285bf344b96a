"""Whose weights a model's are: what it was trained as, and what an adapter is beside."""

from posttrain.plan.targets import Target, Targets

# Stages whose model is of the kind of their first input: what they make of weights is weights.
DERIVED = ("pick_checkpoint", "average_checkpoints", "average_models", "merge_adapter")


def origin(plan: Targets, path: str) -> Target:
    """The target that says what a model is: its training, where it is a checkpoint or a mean of one's."""
    made = plan.all[path]
    while made.stage in DERIVED:
        made = plan.all[next(iter(made.inputs.values()))]
    return made


def adapter_shape(plan: Targets, path: str) -> dict | None:
    """What a model that is an adapter says of itself; None of one that stands alone, as a merge does."""
    made = plan.all[path]
    return (origin(plan, path) if made.stage == "pick_checkpoint" else made).own.get("peft")


def opened(plan: Targets, role: str, path: str) -> dict[str, str]:
    """The inputs of what opens a model: the model and, if it is an adapter, what that is of."""
    if not adapter_shape(plan, path):
        return {role: path}
    made = origin(plan, path)
    return {role: path, f"{role}.weights": made.inputs.get("base.weights", made.inputs["base"])}
