"""The rows that a YAML of the handbook names: a mixture of datasets' splits, in three spellings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posttrain.handbook.keys import Imported

# What each method read, where a YAML does not say.
COLUMNS = {"data": ["messages"], "preferences": ["chosen", "rejected"]}
OLD_KEYS = ("dataset_mixer", "dataset_splits")  # until July 2025
OLD_SEED = 42  # of the shuffle then, whatever `seed` was


def is_old(said: dict) -> bool:
    return any(key in said for key in OLD_KEYS)


def rows_of(made: "Imported", section: str) -> dict[str, Any]:
    """An entry of `data:` or `preferences:`."""
    read = mixer if is_old(made.said) else mixture if made.said.get("dataset_mixture") else dataset
    columns = [made.said["text_column"]] if "text_column" in made.said else COLUMNS[section]
    columns = {columns[0]: "text"} if made.method == "cpt" and columns != ["text"] else columns
    made.take("text_column")
    return {key: value for key, value in read(made, columns).items() if value not in (None, [])}


def mixer(made: "Imported", columns: Any) -> dict[str, Any]:
    """Of the training splits the first rows, by a share each; of the test splits all."""
    shares, splits = made.take("dataset_mixer", {}), made.take("dataset_splits", ["train", "test"])
    if not isinstance(shares, dict) or not isinstance(splits, list):
        raise made.refuse("dataset_mixer", "maps datasets to shares, and dataset_splits is a list")
    subsets = made.take("dataset_configs") or [None] * len(shares)
    if not isinstance(subsets, list) or len(subsets) != len(shares):
        raise made.refuse("dataset_configs", f"is a list of a subset, or null, of each of the {len(shares)} datasets")
    columns = made.take("columns_to_keep") or columns
    sources, test = [], []
    for (hub, share), subset in zip(shares.items(), subsets, strict=True):
        for split in splits:
            if "test" in split:
                test.append(source(hub, subset, split, columns))
            else:
                sources.append(source(hub, subset, split, columns, share))
    return {"sources": sources, "test": test, "seed": OLD_SEED}


def mixture(made: "Imported", columns: Any) -> dict[str, Any]:
    """Of each split a share, once shuffled."""
    said = made.take("dataset_mixture")
    datasets = said.get("datasets") if isinstance(said, dict) else None
    if not datasets or not all(isinstance(each, dict) and "id" in each for each in datasets):
        raise made.refuse("dataset_mixture", "is a mapping with `datasets`, a list of which each has an id")
    if said.get("test_split_size") is not None:
        made.left.append(
            f"test_split_size {said['test_split_size']}: was held out of all rows, published test splits among them; "
            "those are the test split here, and nothing is trained on them"
        )
    sources, test = [], []
    for each in datasets:
        split = each.get("split", "train")
        (test if "test" in split else sources).append(
            source(each["id"], each.get("config"), split, each.get("columns") or columns, each.get("weight", 1))
        )
    return {"sources": sources, "test": test, "take": "shuffled", "seed": said.get("seed", 0)}


def dataset(made: "Imported", columns: Any) -> dict[str, Any]:
    """One dataset, whole and in its order."""
    hub, subset = made.take("dataset_name"), made.take("dataset_config")
    split, test = made.take("dataset_train_split", "train"), made.take("dataset_test_split")
    if hub is None:
        raise made.refuse("dataset_name", "is missing, and so are dataset_mixer and dataset_mixture: there are no rows")
    tested = [source(hub, subset, test, columns)] if test else []
    return {"sources": [source(hub, subset, split, columns)], "test": tested}


def source(hub: str, subset: str | None, split: str, columns: Any, share: float = 1) -> dict[str, Any]:
    said = {"hub": hub, "subset": subset, "split": split, "columns": columns, "weight": share if share != 1 else None}
    return {key: value for key, value in said.items() if value is not None}
