"""What models are made of, as rows with arcs from each to what was made of it."""

from posttrain.recipes import identity
from posttrain.report import draw, sizes
from posttrain.report.builds import Build
from posttrain.report.naming import LISTED, name_of, what


def tree(targets: dict[str, dict], builds: list[Build], headlines: dict[str, list[str]]) -> dict:
    """A row for each target that a person named, with what it is, how large it is, and what making it took.

    Args:
        builds: of all targets that models are made of, inputs before what is made of them.
        headlines: of each model that was measured, by its name, figures in words.
    """
    named = [build for build in builds if build.path.split("/")[0] in LISTED]
    made = {build.path: targets[build.path] for build in builds}
    number = {build.path: i for i, build in enumerate(named)}
    rows = [
        {
            "kind": build.path.split("/")[0],
            "name": name_of(build.path, targets[build.path]),
            "what": what(targets, build.path),
            "size": sizes.of(made, build.path),
            "build": build,
            "inputs": sorted({number[near] for near in nearest_named(targets, build.path, number)}),
            "figures": headlines.get(name_of(build.path, targets[build.path]), [])
            if build.path.startswith(("hub/", "models/"))
            else [],  # rows, and kept checkpoints, may have a model's name
        }
        for build in named
    ]
    return draw.arcs(rows)


def nearest_named(targets: dict[str, dict], path: str, named: dict[str, int]) -> list[str]:
    """The named targets that one is made from, through tokens and tokenizers that are not."""
    inputs = identity.counted(targets[path]["inputs"]).values()
    return [near for made in inputs for near in ([made] if made in named else nearest_named(targets, made, named))]
