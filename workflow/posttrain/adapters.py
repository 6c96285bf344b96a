"""An adapter's files: PEFT's, and what we write into them."""

from contextlib import suppress
from pathlib import Path

from posttrain.files import read_json, write_json

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
ADAPTED = "adapted"  # where an adapter's file says the content of the base that it was trained beside


def adapted(file: Path) -> str | None:
    """The content of the base that an adapter was trained beside; None where its file does not say."""
    from safetensors import safe_open  # most files are no adapters

    with safe_open(file, "np") as opened:  # whoever reads no tensor needs no torch
        return (opened.metadata() or {}).get(ADAPTED)


def beside(adapter: Path, weights: Path, shown: Path) -> Path:
    """Show an adapter beside its base in a folder, which every rank may make; that folder."""
    shown.mkdir(parents=True, exist_ok=True)
    for file in sorted(adapter.iterdir()):
        if file.name == ADAPTER_CONFIG:
            write_json(shown / file.name, read_json(file) | {"base_model_name_or_path": str(weights)})
        else:
            with suppress(FileExistsError):
                (shown / file.name).symlink_to(file.resolve())
    return shown
