"""What a model's page shows, read from the plan and from what stands beside the artifacts it names."""

from pathlib import Path
from typing import Any

import jinja2

from posttrain.files import read_json
from posttrain.plan.lineage import lineage, measured
from posttrain.report import answers, draw
from posttrain.report.builds import Build, again, builds_of, cost
from posttrain.report.compare import Comparison, compared
from posttrain.report.curves import CURVES, curves
from posttrain.report.naming import name_of, what
from posttrain.report.rounds import rounds
from posttrain.report.suites import Suite, suites_of
from posttrain.report.tree import tree


def render(targets: dict[str, dict], path: str) -> str:
    """A model's page, as one HTML file."""
    return environment().get_template("model.html.jinja").render(shown(targets, path))


def environment() -> jinja2.Environment:
    """Templates of pages, in which whatever an artifact says is text."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def shown(targets: dict[str, dict], path: str) -> dict[str, Any]:
    """All that the template asks for."""
    own = Build(path, targets[path], [])
    return {
        "name": name_of(path, targets[path]),
        "what": what(targets, path),
        "content": own.manifest["content"],
        "unlocked": own.run.get("unlocked", []),
        "run": own.run,
        "own": own,
        "again": again(targets, own),
        **lineage_shown(targets, [path]),
    }


def lineage_shown(targets: dict[str, dict], paths: list[str]) -> dict[str, Any]:
    """What the pages of a model and of a family show alike, of models and all that they are made of."""
    made = lineage(targets, *paths)
    evals = sorted(measured(targets, *paths), key=lambda found: made.index(targets[found]["inputs"]["model"]))
    suites = suites_of(targets, evals)
    comparisons = compared(suites, Suite.origins, lambda suite: suite.drawn)
    builds = builds_of(targets, lineage(targets, *paths, *evals))  # the models' own first
    return {
        "suites": [suite_shown(suite, comparisons) for suite in suites],
        "comparisons": comparisons,
        "lineage": tree(targets, builds[: len(made)], headlines(suites)),
        "curves": [curves(name, targets[name]) for name in made if targets[name]["stage"] in CURVES],
        "rounds": rounds(targets, made),
        "ledgers": [ledger for name in made for ledger in ledgers(name, targets)],
        "builds": builds,
        "cost": cost(builds),
    }


def suite_shown(suite: Suite, comparisons: list[Comparison]) -> dict[str, Any]:
    """A suite's charts, tables and answers."""
    charts = []
    for figure, title in suite.drawn.items():
        said = {model: found["figures"][figure] for model, found in suite.said.items() if figure in found["figures"]}
        chart = draw.bars(title, figure, said)
        for bar in chart["bars"]:
            asked = (suite.name, figure, bar["model"])
            bar["against"] = next((against(made) for made in comparisons if made[:3] == asked), None)
        charts.append(chart)
    return {
        "name": suite.name,
        "rows": suite.rows,
        "split": suite.split,
        "evals": suite.evals,
        "said": suite.said,
        "figures": suite.figures,
        "counts": list(dict.fromkeys(name for said in suite.said.values() for name in said["counts"])),
        "charts": charts,
        "answers": answers.answers(suite.evals) if suite.of == "prompts" else [],
        "warnings": [(model, why) for model, said in suite.said.items() for why in said["warnings"]],
    }


def against(made: Comparison) -> dict[str, Any]:
    """A comparison in words."""
    said = draw.change(made.figure, made.difference)
    return {"base": made.base, "said": said, "p": draw.chance(made.difference.p), "significant": made.significant}


def headlines(suites: list[Suite]) -> dict[str, list[str]]:
    """Of each measured model the first drawn figure of each suite, in words."""
    found: dict[str, list[str]] = {}
    for suite in suites:
        figure = next(iter(suite.drawn))
        for model, said in suite.said.items():
            if figure in said["figures"]:  # a model may have none, as one that no judge could rate
                value = draw.worth(figure, said["figures"][figure]["value"])
                found.setdefault(model, []).append(f"{suite.name} {value}")
    return found


def ledgers(path: str, targets: dict[str, dict]) -> list[dict]:
    """What a target's ledger says was left out or altered, if anything was."""
    said = read_json(Path(path) / "ledger.json").get("entries", [])
    rows = targets[path]["inputs"].get("rows")
    shown = f"tokens of {rows}" if path.startswith("tokens/") else path
    return [{"target": shown, **entry} for entry in said if entry["dropped"] or entry["altered"] or "found" in entry]
