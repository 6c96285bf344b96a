"""What a training reads, named by what it is, so that models share it: tokenizers, tokens, references."""

from posttrain.files import Refusal
from posttrain.plan.stages.rows import without_test
from posttrain.plan.stages.weights import origin
from posttrain.plan.targets import Target, Targets
from posttrain.recipes import template
from posttrain.recipes.catalogue import Named
from posttrain.recipes.runtime import Runtime


def template_of(plan: Targets, entry: Named) -> str | None:
    if entry.recipe.template is None:
        return None
    try:
        return template.read(plan.templates, entry.recipe.template)
    except Refusal as refusal:
        raise entry.refuse(("template",), str(refusal)) from None


def tokenizer_target(plan: Targets, own: dict, inputs: dict[str, str], text: str | None) -> str:
    return plan.add(Target("tokenizers/", "make_tokenizer", own, {}, inputs, texts={"template": text} if text else {}))


def tokenizer_of(plan: Targets, path: str) -> str:
    """The tokenizer a model speaks: its own target's, its hub repository's without the weights, or its folder's."""
    made = origin(plan, path)
    if "tokenizer" in made.inputs:
        return made.inputs["tokenizer"]
    if made.hub_id:
        return tokenizer_target(plan, {}, {"from": plan.hub("tokenizers", made.hub_id)}, None)
    return tokenizer_target(plan, {}, {"from": made.path}, None)


def tokens_target(plan: Targets, entry: Named, tokenizer: str) -> str:
    recipe = entry.recipe
    rows = plan.named_by(entry, recipe.rows, recipe.rows)
    if recipe.runtime.eval_steps and (mend := without_test(plan.all[rows], "leave eval_steps out")):
        raise entry.refuse(("runtime", "eval_steps"), f"{rows} has no split test; {mend}")
    own = {"method": recipe.tokens, "max_length": recipe.train.max_length}
    if recipe.tokens == "cpt":
        own["packing_strategy"] = "wrapped"
    if recipe.tokens == "sft":
        own["assistant_only_loss"] = recipe.train.assistant_only_loss
        own |= {"completion_only_loss": True} if recipe.train.completion_only_loss else {}
        own |= {"packing_strategy": recipe.train.packing_strategy} if recipe.train.packing else {}
    runtime = Runtime(threads=recipe.runtime.shards, hours=recipe.runtime.hours).model_dump()
    inputs = {"rows": rows, "tokenizer": tokenizer}
    made = plan.add(Target("tokens/", "tokenize_rows", own, {}, inputs, runtime=runtime))
    shared = plan.all[made].runtime  # models that share tokens may ask for other shards: the most is given
    shared |= {name: max(shared[name] or 0, value or 0) or None for name, value in runtime.items()}
    return made


def reference_target(plan: Targets, entry: Named, inputs: dict[str, str]) -> str:
    """The log-probs that models of this base, these rows and this precision share, whatever their loss and beta."""
    recipe, train = entry.recipe, entry.recipe.train
    said = {"dtype": train.dtype, "bf16": train.bf16}
    if recipe.added_tokens:
        said["seed"] = train.seed  # of the rows that the base lacks
    own = {"method": recipe.tokens, "train": said}
    if recipe.quantization:
        own["quantization"] = recipe.quantization.model_dump()
    if getattr(train, "ld_alpha", None) is not None:
        own["ld_alpha"] = train.ld_alpha
    runtime = {**recipe.runtime.model_dump(), "processes": recipe.runtime.world_size}
    return plan.add(Target("reference/", "compute_reference", own, {}, inputs, runtime=runtime))
