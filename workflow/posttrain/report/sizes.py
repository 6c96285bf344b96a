"""How large an artifact is: bytes, and what of parameters, rows or tokens it has."""

import math
from pathlib import Path

from pyarrow import parquet
from safetensors import safe_open

from posttrain.files import read_json
from posttrain.words import volume


def of(targets: dict[str, dict], path: str) -> str:
    """An artifact's size in words: `660 k parameters, 2.65 MB`; of rows as those targets have them in tokens."""
    said = [f"{short(count)} {noun}" for noun, count in counts(targets, path).items() if count]
    return ", ".join([*said, volume(sum(read_json(f"{path}.json").get("sizes", {}).values()))])


def counts(targets: dict[str, dict], path: str) -> dict[str, int]:
    """Of a model its parameters; of rows how many there are, and how many tokens they were made into."""
    kind, folder = path.split("/")[0], Path(path)
    if kind in ("models", "hub"):
        return {"parameters": parameters(folder)}
    if kind in ("data", "preferences"):
        files = {"rows": "train.parquet", "held out": "test.parquet"}
        made = [name for name in targets if name.startswith("tokens/") and targets[name]["inputs"].get("rows") == path]
        tokens = [read_json(f"{name}.run.json").get("metrics", {}).get("tokens", 0) for name in made]
        return {name: rows(folder / file) for name, file in files.items()} | {"tokens": max(tokens, default=0)}
    if kind in ("completions", "scores"):
        said = read_json(f"{path}.run.json").get("metrics", {})
        return {kind: rows(folder / f"{kind}.parquet"), "tokens": said.get("tokens", 0)}
    return {}


def rows(path: Path) -> int:
    return parquet.read_metadata(path).num_rows if path.exists() else 0


def parameters(folder: Path) -> int:
    """The numbers in a model's weights, by their files' headers."""
    found = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as weights:
            names = weights.keys()
            found += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
    return found


def short(count: int) -> str:
    """A count in three digits from ten thousand on: 4000, 74.8 k, 135 M, 7.24 G."""
    if count < 10_000:
        return str(count)
    for unit in ("k", "M", "G"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} T"
