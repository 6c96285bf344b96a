"""What the page of a family shows: the models of a page of recipes side by side."""

from typing import Any

from posttrain.plan.lineage import lineage
from posttrain.report import answers, sizes
from posttrain.report.builds import builds_of, cost
from posttrain.report.differences import differing
from posttrain.report.naming import name_of
from posttrain.report.page import environment, lineage_shown


def render(targets: dict[str, dict], name: str, models: list[str]) -> str:
    """A family's page, as one HTML file."""
    return environment().get_template("family.html.jinja").render(shown(targets, name, models))


def shown(targets: dict[str, dict], name: str, models: list[str]) -> dict[str, Any]:
    """All that the template asks for."""
    said = lineage_shown(targets, models)
    for suite in said["suites"]:
        compares = suite["answers"] and len(suite["evals"]) > 1
        suite["apart"] = answers.disagreements(suite["evals"]) if compares else None
    return {
        "name": name,
        "models": [model(targets, path) for path in models],
        "recipes": recipes(targets, models),
        **said,
    }


def model(targets: dict[str, dict], path: str) -> dict[str, Any]:
    """A model in the table of what each took."""
    builds = builds_of(targets, lineage(targets, path))
    (trained,) = (build for build in builds if build.path == made_as(targets, path))
    return {
        "name": name_of(path, targets[path]),
        "size": sizes.of(targets, path),
        "own": cost([trained]),
        "all": cost(builds),
        "memory": trained.memory,
    }


def made_as(targets: dict[str, dict], path: str) -> str:
    """The target that says how a model was made: the checkpoints of which it is the last, where it keeps some."""
    return targets[path]["inputs"].get("checkpoints", path)


def recipes(targets: dict[str, dict], models: list[str]) -> list[dict[str, Any]]:
    """Of the models of each stage the fields in which their recipes differ."""
    stages: dict[str, list[str]] = {}
    for path in (made_as(targets, model) for model in models):
        stages.setdefault(targets[path]["stage"], []).append(path)
    return [
        {
            "stage": stage.removeprefix("train_").replace("_", " "),
            "names": [name_of(path, targets[path]) for path in made],
            "fields": differing([targets[path]["identity"] for path in made]),
        }
        for stage, made in stages.items()
        if len(made) > 1
    ]
