"""What a target was made from, and what was measured of it."""

from posttrain.recipes import identity


def lineage(targets: dict[str, dict], *paths: str) -> list[str]:
    """Some targets and all they are made from, inputs before what is made of them.

    Shards are not among them: another number of them would be others. After kept checkpoints comes the model that is
    the last of them, whatever was made of the others.
    """
    found: dict[str, None] = {}

    def add(path: str) -> None:
        if path not in found:
            for made in identity.counted(targets[path]["inputs"]).values():
                add(made)
            found[path] = None
            if path.startswith("checkpoints/"):
                found[path.replace("checkpoints/", "models/", 1)] = None

    for path in paths:
        add(path)
    return list(found)


def measured(targets: dict[str, dict], *paths: str) -> list[str]:
    """The evaluations of some models and of the models they were made from, in the order of the recipes."""
    above = set(lineage(targets, *paths))
    return [made for made in targets if made.startswith("evals/") and targets[made]["inputs"]["model"] in above]


def carded(targets: dict[str, dict], path: str) -> list[str]:
    """What a model's card tells: its lineage, and its own figures."""
    return [*lineage(targets, path), *own_figures(targets, path)]


def own_figures(targets: dict[str, dict], path: str) -> list[str]:
    return [made for made in targets if made.startswith("evals/") and targets[made]["inputs"].get("model") == path]


def reported(targets: dict[str, dict], *paths: str) -> list[str]:
    """What the page of a model, or of several, shows: their lineage, and the figures of each model in it."""
    return lineage(targets, *paths, *measured(targets, *paths))
