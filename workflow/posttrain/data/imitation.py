"""What a rehearsal has in place of a hub repository: rows of the columns that are read, and a tokenizer of bytes."""

import random
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from posttrain.data import dialogues
from posttrain.data.tokenizer import byte_level
from posttrain.data.turns import turn

WORDS = "amber birch cedar delta ember fjord grove heath inlet jetty knoll larch maple north ocean pearl quartz river"
WORDS = (WORDS + " shore tidal umbra vale wharf yield zenith").split()
LENGTH = 8  # words of a sentence


def tokenizer(said: dict) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes with a base's special tokens, which begins a text as the base's does.

    Args:
        said: as config/bases.yaml has it.
    """
    named = {name: said[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token") if said[name]}
    return byte_level(named, sorted({*named.values(), *said["chat_tokens"]}), said["add_bos_token"])


def dataset(folder: Path, repo_id: str, files: str | None, subsets: dict[str, dict]) -> None:
    """Write a dataset repository: parquet files, and a README.md that names them as the hub's do.

    Args:
        files: the pattern that they are read by, where they are not by README.md.
        subsets: of each its splits (what each column holds, a name of `cell`'s, and how many rows each way to choose
            them finds), and the values that they are chosen by.
    """
    configs = []
    for subset, said in sorted(subsets.items()):
        splits, where = said["splits"], said["where"]
        ways = [dict(zip(where, way, strict=True)) for way in product(*where.values())]
        data_files, columns = [], {name: held for wanted in splits.values() for name, held in wanted["columns"].items()}
        for split, wanted in sorted(splits.items()):
            path = (files or f"{subset}/{split}.parquet").replace("*", "0")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            holds = columns | wanted["columns"]
            made = [
                row(f"{repo_id} {subset} {split} {i}", i // len(ways), holds) | ways[i % len(ways)]
                for i in range(wanted["rows"] * len(ways))
            ]
            write(Dataset.from_list(made), folder / path)
            data_files.append({"split": split, "path": path})
        configs.append({"config_name": subset, "data_files": data_files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")


def write(rows: Dataset, path: Path) -> None:
    if path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        compression = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
        rows.to_pandas().to_json(path, orient="records", lines=True, compression=compression)


def row(seed: str, number: int, columns: dict[str, Any]) -> dict:
    draw = random.Random(seed)
    prompt = [turn("user", sentence(draw))]
    return {name: cell(holds, prompt, number, draw) for name, holds in columns.items()}


def cell(holds: Any, prompt: list[dict], number: int, draw: random.Random) -> Any:
    """What a column holds in one row. Chosen and rejected are whole conversations, as most of the hub's are."""
    if isinstance(holds, dict):
        ((form, held),) = holds.items()
        return dialogues.text(cell(held, prompt, number, draw)) if form == "hh_rlhf" else [sentence(draw) for _ in "ab"]
    answer = turn("assistant", sentence(draw))
    return {
        "messages": [*prompt, answer],
        "question": prompt,
        "chosen": [*prompt, answer],
        "rejected": [*prompt, answer],
        "prompt": prompt[0]["content"],
        "completion": answer["content"],
        "label": number % 2 == 0,
        "chat_template_kwargs": {"enable_thinking": number % 2 == 0},
    }.get(holds, answer["content"])


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(LENGTH)).capitalize() + "."
