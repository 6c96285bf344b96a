"""What a repository is to hold, put together in a folder."""

import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from posttrain.adapters import ADAPTER_CONFIG, adapter_config, is_adapter
from posttrain.files import Refusal, files_below, read_json, write_json, write_text
from posttrain.hub.pushing import MANIFEST, RUN
from posttrain.plan import publishing
from posttrain.report import markdown
from posttrain.report.naming import what

UNSAID = ("host", "slurm_job")  # of a run record: what is nobody else's business
SPLITS = ("train", "test")


def put_together(plan: dict, name: str, folder: Path) -> dict[str, Path]:
    """The folder of each repository to be: of the model and, by its path, of each set of rows."""
    said, model = plan["published"][name], f"models/{name}"
    made = {rows: folder / rows for rows in said["datasets"]} | {model: folder / "model"}
    shutil.rmtree(folder, ignore_errors=True)
    for path, place in made.items():
        lay_out(plan["targets"][path], path, place)
    write_text(made[model] / "README.md", Path(f"cards/{name}.md").read_text())
    if is_adapter(Path(model)):
        named = adapter_config(Path(model)) | base_of(plan, model)
        (made[model] / ADAPTER_CONFIG).unlink()
        write_json(made[model] / ADAPTER_CONFIG, named)
    for rows, terms in said["datasets"].items():
        write_text(made[rows] / "README.md", card_of_rows(plan, rows, terms))
    return made


def lay_out(target: dict, path: str, place: Path) -> None:
    """Link an artifact's files into a folder, and write its records there."""
    for file in files_below(Path(path)):
        link = place / file.relative_to(path)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    identity = publishing.outward(target, target["contents"])["identity"]
    write_json(place / MANIFEST, read_json(f"{path}.json") | {"identity": identity})
    run = without(read_json(f"{path}.run.json"), UNSAID)
    for stage in run.get("lineage", {}).values():
        stage["target"] = publishing.outward(stage["target"], stage["manifest"].get("inputs", {}))
    write_json(place / RUN, run)


def without(record: Any, keys: tuple[str, ...]) -> Any:
    """A record less some keys, wherever they stand in it."""
    if not isinstance(record, dict):
        return record
    return {key: without(value, keys) for key, value in record.items() if key not in keys}


def base_of(plan: dict, model: str) -> dict:
    """What an adapter's configuration says of its base: the hub's name of it, and the commit."""
    (base,) = publishing.begun_as(plan["targets"], model)
    repos = publishing.repos(plan["published"])
    commit = plan["targets"][base]["own"].get("revision")
    if published := repos.get(base.removeprefix("models/")):
        record = read_json(base.replace("models/", "published/", 1) + ".json")
        if record.get("content") != read_json(f"{base}.json")["content"]:
            raise Refusal(f"{model}: {base} is not on the hub as it is here; publish it first, to {published}")
        commit = record["repositories"][base]["commit"]
    return {"base_model_name_or_path": publishing.hub_name(plan["targets"], repos, base), "revision": commit}


def card_of_rows(plan: dict, path: str, terms: dict) -> str:
    """The card of a set of rows: its terms, its splits and what it is."""
    files = {split: f"{split}.parquet" for split in SPLITS if (Path(path) / f"{split}.parquet").exists()}
    data = DatasetCardData(
        license=terms["license"],
        license_name=terms["license_name"],
        license_link=terms["license_link"],
        tags=["posttrain"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": file} for split, file in files.items()],
            }
        ],
    )
    target = plan["targets"][path]
    said = markdown.text(what({path: publishing.outward(target, target["contents"])}, path))
    records = f"`{MANIFEST}` says what it was made of, and `ledger.json` what was left out."
    text = f"# {path.split('/', 1)[1]}\n\n{said}.\n\n{records}\n"
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))
