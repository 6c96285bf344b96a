"""Which targets one SLURM job makes together: light ones that wait for the same heavy ones."""

from posttrain.files import digest

LIGHT = ("mix_data", "mix_preferences", "make_tokenizer", "tokenize_rows", "init_model", "gather_completions")
LIGHT += ("select_data", "select_preferences", "select_answers", "select_revisions", "score_completions")


def light(target: dict) -> bool:
    """Whether a target wants a CPU for a while: no GPU, and no model to read."""
    asks_models = target["stage"] == "score_completions" and set(target["inputs"]) != {"completions"}
    return target["stage"] in LIGHT and not target["runtime"].get("gpus") and not asks_models


def of(targets: dict[str, dict], path: str) -> str | None:
    """The group of a target; None of a heavy one, which has a job to itself.

    Those that wait for the same heavy targets are of one. So no group waits for itself: what is heavy and waits for one
    of its members is waited for by none, for those would wait for more.
    """
    if not light(targets[path]):
        return None
    return digest(sorted(awaited(targets, path, {})))


def awaited(targets: dict[str, dict], path: str, known: dict[str, frozenset[str]]) -> frozenset[str]:
    """The heavy targets that one is made of, near and far."""
    if path not in known:
        inputs = set(targets[path]["inputs"].values())
        heavy = {made for made in inputs if not light(targets[made])}
        known[path] = frozenset(heavy).union(*(awaited(targets, made, known) for made in inputs))
    return known[path]
