"""What `posttrain compare` prints: models against the first of them."""

from collections.abc import Iterator

from posttrain.files import Refusal
from posttrain.plan import cost
from posttrain.report import answers, draw
from posttrain.report.compare import Comparison
from posttrain.report.compare import compared as differences_of_figures
from posttrain.report.differences import differences
from posttrain.report.suites import Suite, suites_of
from posttrain.words import clipped, columns, did_you_mean

WIDEST = 72  # characters of a text


def compared(targets: dict[str, dict], models: list[str], samples: int) -> Iterator[str]:
    """Figures, recipes and answers side by side, and what is not built.

    Args:
        models: as recipes name them.
        samples: how many prompts of each suite are shown with what is answered to them.
    """
    models = [name.removeprefix("models/") for name in models]
    known = {path.removeprefix("models/"): path for path in targets if path.startswith("models/")}
    known |= {target["identity"]["model"]: target["inputs"]["model"] for target in evaluations(targets).values()}
    for name in models:
        if name not in known:
            raise Refusal(f"{name}: there is no such model. {did_you_mean(name, list(known))}")
    if len(set(models)) < max(len(models), 2):
        raise Refusal("compare takes two models or more, each once")
    asked = [path for path, target in evaluations(targets).items() if target["identity"]["model"] in models]
    standing = [path for path in asked if cost.stands(path, targets[path])]
    standing.sort(key=lambda path: models.index(targets[path]["identity"]["model"]))
    suites = suites_of(targets, standing)
    yield from figures(suites)
    yield from recipes(targets, [known[name] for name in models])
    for suite in suites:
        if samples > 0 and suite.of == "prompts" and len(suite.evals) > 1:
            yield from apart(suite, samples)
    if missing := sorted(set(asked) - set(standing)):
        yield f"\nnot built, or not as the recipes say now: snakemake {' '.join(missing)}"


def evaluations(targets: dict[str, dict]) -> dict[str, dict]:
    return {path: target for path, target in targets.items() if path.startswith("evals/")}


def figures(suites: list[Suite]) -> Iterator[str]:
    """A table of each suite, and how many differences were looked at: of the figures that a page draws."""
    made = differences_of_figures(suites, Suite.first, lambda suite: suite.drawn)
    for suite in suites:
        rows = [
            (figure, model, *cells(suite, figure, model, made)) for figure in suite.figures for model in suite.evals
        ]
        rows = [("" if i and rows[i - 1][0] == row[0] else row[0], *row[1:]) for i, row in enumerate(rows)]
        head = ("", "", "", "95 %", f"less {next(iter(suite.evals))}" if len(suite.evals) > 1 else "", "")
        yield f"\n{suite.name}: {suite.rows}, {suite.split}"
        yield from (f"  {line}" for line in columns([head, *rows]))
        yield from (f"  {model}: {why}" for model, said in suite.said.items() for why in said["warnings"])
    if made:
        significant = sum(comparison.significant for comparison in made)
        yield (
            f"\n{len(made)} differences were looked at; {significant} are significant at 5 % when all of them are "
            "counted (*, Holm). Each interval is of that figure alone."
        )


def cells(suite: Suite, figure: str, model: str, made: list[Comparison]) -> tuple[str, ...]:
    """A model's figure, its interval, and by how much it is more than the first model's."""
    if not (found := suite.said[model]["figures"].get(figure)):
        return ("", "", "", "")
    worth, interval = draw.worth(figure, found["value"]), draw.interval(figure, found) if "low" in found else ""
    for one in made:
        if one[:3] == (suite.name, figure, model):
            mark = "*" if one.significant else ""
            return worth, interval, draw.change(figure, one.difference), f"p {draw.chance(one.difference.p)} {mark}"
    return worth, interval, "", ""


def recipes(targets: dict[str, dict], paths: list[str]) -> Iterator[str]:
    """A table of each place in the models' lineages where they differ."""
    for place in differences(targets, paths):
        yield f"\n{place.kind} differ in"
        rows = [(key, *map(one_line, values)) for key, values in place.fields.items()]
        yield from (f"  {line}" for line in columns([("", *place.names), *rows]))


def apart(suite: Suite, samples: int) -> Iterator[str]:
    """Prompts that some answer right and others wrong."""
    found = answers.disagreements(suite.evals, samples)
    yield f"\n{suite.name}: {found['apart']} of {found['prompts']} prompts some answer right and others wrong"
    for row in found["rows"]:
        yield f"  {one_line(row['prompt'])} → {one_line(row['reference'] or '')}"
        rows = [
            (made["model"], "right" if made["right"] else "wrong", one_line(made["text"])) for made in row["answers"]
        ]
        yield from (f"    {line}" for line in columns(rows))


def one_line(text: str) -> str:
    return clipped(" ".join(text.split()), WIDEST)
