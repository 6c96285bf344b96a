"""An adapter's files: PEFT's, and what we write into them."""

from contextlib import suppress
from pathlib import Path

from posttrain.files import read_json, write_json

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
# Says the content of the base that an adapter was trained beside. A file of its own, for what safetensors is told to
# write beside tensors it writes in an order of chance.
ADAPTED = "adapted.json"


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER).exists()


def adapter_config(folder: Path) -> dict:
    return read_json(folder / ADAPTER_CONFIG)


def content_of_base(folder: Path) -> str | None:
    """The content of the base that an adapter was trained beside; None of one that was not trained here."""
    return read_json(folder / ADAPTED).get("content")


def beside(adapter: Path, weights: Path, shown: Path) -> Path:
    """Show an adapter beside its base in a folder, which every rank may make; that folder."""
    shown.mkdir(parents=True, exist_ok=True)
    for file in sorted(adapter.iterdir()):
        if file.name == ADAPTER_CONFIG:
            write_json(shown / file.name, adapter_config(adapter) | {"base_model_name_or_path": str(weights)})
        else:
            with suppress(FileExistsError):
                (shown / file.name).symlink_to(file.resolve())
    return shown
