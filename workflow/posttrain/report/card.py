"""A model's card: the metadata that the hub reads, and the text that a person does."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from posttrain.adapters import is_adapter
from posttrain.files import Refusal, canonical, read_json
from posttrain.plan import publishing
from posttrain.plan.lineage import lineage, own_figures
from posttrain.recipes import lock
from posttrain.recipes.methods import METHODS
from posttrain.report import markdown
from posttrain.report.builds import Build, again
from posttrain.report.naming import LISTED, name_of, what
from posttrain.report.usage import program, task

ABOVE = ("base", "base.weights", "checkpoints")  # the roles of a model's weights, and `models.<n>` of a mean's
SAID = ("base", "data", "preferences", "template", "peft", "quantization")  # of a recipe, beside `train`


def render(plan: dict, name: str) -> str:
    """A model's card. Raises: Refusal, if the hub could not read its metadata."""
    told = {path: publishing.outward(target, target["contents"]) for path, target in plan["targets"].items()}
    plan = plan | {"targets": told}
    data, said = metadata(plan, name), shown(plan, name)
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    text = markdown.environment(loader).get_template("card.md.jinja").render(said)
    card = f"---\n{data.to_yaml()}\n---\n\n{text}"
    try:
        read = ModelCard(card).data
    except ValueError as error:
        raise Refusal(f"cards/{name}.md: huggingface_hub does not read its metadata: {error}") from None
    if read.to_dict() != data.to_dict():
        raise Refusal(f"cards/{name}.md: huggingface_hub reads other metadata than was written")
    return card


def metadata(plan: dict, name: str) -> ModelCardData:
    targets, path = plan["targets"], f"models/{name}"
    said = plan["published"].get(name, {})
    named = publishing.repos(plan["published"])
    bases = publishing.bases(targets, named, path)
    stages = [stage["method"] for stage in trained(targets, path)]
    return ModelCardData(
        language=said.get("language") or None,
        license=said.get("license") or publishing.licence(targets, path),
        license_name=said.get("license_name"),
        license_link=said.get("license_link"),
        library_name="peft" if is_adapter(Path(path)) else "transformers",
        pipeline_tag=task(Path(path)),
        tags=list(dict.fromkeys([*said.get("tags", []), "posttrain", *(["trl", stages[-1]] if stages else [])])),
        base_model=bases or None,
        base_model_relation=publishing.relation(targets, named, path) if bases else None,
        datasets=sorted({*hub_datasets(targets, path), *rows_with(targets, path, said)}) or None,
        model_name=name,
        eval_results=[result for suite in own_figures(targets, path) for result in results(targets, suite)],
    )


def hub_datasets(targets: dict[str, dict], path: str) -> dict[str, str]:
    """The data sets of the hub that something descends from, and their commits."""
    made = [targets[above]["own"] for above in lineage(targets, path)]
    fetched = [own for own in made if own.get("kind") == "datasets"]
    return {lock.parts(own["repo_id"])[0]: own.get("revision", "") for own in fetched}


def rows_with(targets: dict[str, dict], path: str, said: dict) -> list[str]:
    """The repositories of rows that are published with a model which was made of them."""
    above = set(lineage(targets, path))
    return [rows["repo"] for made, rows in said.get("datasets", {}).items() if made in above]


def results(targets: dict[str, dict], suite: str) -> Iterator[EvalResult]:
    """A suite's figures as the hub's index of models has them."""
    rows = targets[suite]["inputs"].get("rows")
    known = hub_datasets(targets, rows) if rows else {}
    name = name_of(rows, targets[rows]) if rows else suite.rsplit("/", 1)[1]
    dataset, revision = known.popitem() if len(known) == 1 else (name, content(rows or suite))
    for figure, found in read_json(f"{suite}/figures.json")["figures"].items():
        if math.isfinite(found["value"]):
            yield EvalResult(
                task_type=task(Path(targets[suite]["inputs"]["model"])),
                dataset_type=dataset,
                dataset_name=name,
                dataset_split=targets[suite]["own"].get("split"),
                dataset_revision=revision,
                metric_type=figure,
                metric_name=f"{suite.rsplit('/', 1)[1]}: {figure}",
                metric_value=found["value"],
            )


def content(path: str) -> str:
    return read_json(f"{path}.json").get("content", "")


def shown(plan: dict, name: str) -> dict[str, Any]:
    """All that the template asks for."""
    targets, path = plan["targets"], f"models/{name}"
    said, own = plan["published"].get(name, {}), Build(path, targets[path], [])
    made, stages = lineage(targets, path), trained(targets, path)
    suites = [(suite.rsplit("/", 1)[1], read_json(f"{suite}/figures.json")) for suite in own_figures(targets, path)]
    repos = publishing.repos(plan["published"])
    beside = publishing.begun_as(targets, path)[0] if publishing.is_adapter(targets, path) else ""
    return {
        "name": name,
        "what": what(targets, path),
        "bases": publishing.bases(targets, repos, path),
        "relation": publishing.relation(targets, repos, path),
        "license": said.get("license") or publishing.licence(targets, path),
        "usage": program(
            Path(path), said.get("repo", path), beside and (publishing.hub_name(targets, repos, beside) or beside)
        ),
        "lineage": [
            {"path": above, "what": what(targets, above), "content": content(above)}
            for above in made
            if above.split("/")[0] in LISTED
        ],
        "stages": stages,
        "fields": list(dict.fromkeys(field for stage in stages for field in stage["said"])),
        "data": [rows(targets, above) for above in made if above.startswith(("data/", "preferences/"))],
        "figures": [row for suite, found in suites for row in figures(suite, found)],
        "warnings": [{"suite": suite, "why": why} for suite, found in suites for why in found["warnings"]],
        "commands": "\n".join(again(targets, own)),
        "changed": own.changed,
        "unlocked": own.run["unlocked"],
        "content": content(path),
        "versions": "\n".join(f"{package}=={version}" for package, version in sorted(own.run["versions"].items())),
    }


def trained(targets: dict[str, dict], path: str) -> list[dict]:
    """The trainings that a model's weights went through, the first first."""
    above = [made for role, made in targets[path]["inputs"].items() if role in ABOVE or role.startswith("models.")]
    found = {stage["name"]: stage for made in above for stage in trained(targets, made)}
    own, name = targets[path]["own"], path.split("/", 1)[1]
    if "train" in own:
        found[name] = {"name": name, "method": own["method"], "said": fields(targets[path])}
    return list(found.values())


def fields(target: dict) -> dict[str, Any]:
    """What a recipe says of a training otherwise than its method does unsaid."""
    own = target["own"]
    defaults = METHODS[own["method"]].model_fields["train"].annotation.model_fields
    train = {key: value for key, value in own["train"].items() if canonical(defaults[key].default) != value}
    said = {key: target["identity"][key] for key in SAID if key in target["identity"]}
    return {"method": own["method"], **said, **train}


def rows(targets: dict[str, dict], path: str) -> dict:
    """A set of rows: where it comes from, and what was left out."""
    near = [targets[made]["own"] for made in targets[path]["inputs"].values() if made.startswith("hub/datasets--")]
    return {
        "path": path,
        "what": what(targets, path),
        "sources": [{"repo": own["repo_id"], "commit": own.get("revision", "")} for own in near],
        "ledger": read_json(Path(path) / "ledger.json").get("entries", []),
    }


def figures(suite: str, found: dict) -> Iterator[dict]:
    of = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in found["counts"].items() if count)
    for figure, said in found["figures"].items():
        interval = f"{said['low']:.4g} to {said['high']:.4g}" if "low" in said else ""
        yield {"suite": suite, "figure": figure, "value": f"{said['value']:.4g}", "interval": interval, "of": of}
