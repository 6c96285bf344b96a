"""Identity, intent and key: what an artifact is, as typed, as planned, and as stored.

Identity: the resolved recipe less its circumstances, plus the stage's version; names stand for inputs.
Intent: identity with each input's intent in place of its name; known when the plan is made.
Key: identity with each input's content in place of its name, plus the environment; addresses the store.
"""

from typing import Any

from posttrain.files import canonical, digest

# Raised when a stage's code changes what it makes: the old artifacts are then other artifacts.
VERSIONS = {
    "fetch_snapshot": 1,
    "fetch_wheel": 1,
    "imitate_snapshot": 2,
    "adopt_folder": 1,
    "mix_data": 4,
    "mix_preferences": 3,
    "make_tokenizer": 1,
    "tokenize_rows": 4,
    "init_model": 1,
    "convert_gguf": 1,
    "merge_adapter": 2,
    "train_cpt": 1,
    "train_sft": 1,
    "train_reward": 1,
    "compute_reference": 1,
    "train_dpo": 2,
    "train_kto": 1,
    "train_orpo": 1,
    "train_cpo": 1,
    "train_simpo": 1,
    "pick_checkpoint": 1,
    "average_checkpoints": 1,
    "average_models": 1,
    "sample_shard": 1,
    "gather_completions": 1,
    "score_completions": 4,
    "select_data": 4,
    "select_preferences": 4,
    "select_answers": 2,
    "select_revisions": 2,
    "evaluate_shard": 2,
    "evaluate_model": 5,
}

SHARD = "shard."  # begins the role of an input that is a part of the artifact, and how many there are is circumstance

# Circumstance. All else is identity: a field forgotten here costs a retrain, never a stale model.
RUNTIME_KEYS = frozenset({"runtime"})

# A field added to the language later, by stage: its dotted path, one for all items of a list, and the value that stands
# for its absence. It stays out of identities while it has that value, so models trained before it are not retrained;
# the value never changes, even if the field's default does.
SCHEDULED = {"train.lr_scheduler_kwargs": None}
KEPT = SCHEDULED | {"train.keep_checkpoints": 0}
MIXED = {f"{part}.{field}": None for part in ("sources", "test") for field in ("format", "exchanges")}
DRAWN = {"sampling.engine": "transformers", "sampling.stop": []}
ASKED = DRAWN | {"conversation": None}
INTRODUCED: dict[str, dict[str, Any]] = {
    "mix_data": MIXED,
    "mix_preferences": MIXED,
    "train_cpt": KEPT,
    "train_sft": KEPT | {"train.completion_only_loss": False, "train.packing": False, "train.packing_strategy": "bfd"},
    "train_reward": KEPT,
    "train_dpo": KEPT
    | {
        "train.label_smoothing": 0,
        "train.ld_alpha": None,
        "train.use_weighting": False,
        "train.discopop_tau": 0.05,
    },
    "train_kto": SCHEDULED,
    "train_orpo": KEPT,
    "train_cpo": SCHEDULED,
    "train_simpo": SCHEDULED,
    "sample_shard": ASKED,
    "gather_completions": ASKED,
    "select_data": {"length_penalty": 0, "k": None, "max_per_prompt": None},
    "select_preferences": {"length_penalty": 0, "max_chars": None, "seed": 0},
    "evaluate_model": DRAWN | {"time_limit": 10},
}


def what_it_is(stage: str, recipe: dict, introduced: dict | None = None) -> dict:
    """A stage's resolved recipe as identity: less circumstances and late fields, plus the stage's version."""
    late = (INTRODUCED if introduced is None else introduced).get(stage, {})
    kept = {key: value for key, value in recipe.items() if key not in RUNTIME_KEYS}
    return canonical({"stage": stage, "version": VERSIONS[stage], **without(kept, late)})


def without(value: Any, late: dict[str, Any], at: str = "") -> Any:
    """A recipe, or the part of one that stands at a path, less the late fields that have the value of their absence."""
    if isinstance(value, list):
        return [without(item, late, at) for item in value]
    if not isinstance(value, dict):
        return value
    paths = {key: f"{at}.{key}" if at else key for key in value}
    absent = {key for key, path in paths.items() if path in late and canonical(late[path]) == canonical(value[key])}
    return {key: without(value[key], late, path) for key, path in paths.items() if key not in absent}


def counted(inputs: dict[str, str]) -> dict[str, str]:
    """The inputs that an artifact is made of, by role: not the shards it is gathered from, of which any number makes
    the same.
    """
    return {role: path for role, path in inputs.items() if not role.startswith(SHARD)}


def intent(own: dict, intents: dict[str, str]) -> str:
    """What an artifact will be, whatever its inputs are called."""
    return digest({"own": own, "inputs": intents})


def key(own: dict, contents: dict[str, str], environment: str) -> str:
    """Where the store keeps an artifact: what it is, made from these bytes, by this software."""
    return digest({"own": own, "inputs": contents, "environment": environment})
