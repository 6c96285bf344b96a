"""Trackers, which draw a training's curves while it runs: what each needs, and where it writes."""

import os
from pathlib import Path

from posttrain.build.processes import needs

FOLDER = Path("logs/tracking")  # what was tracked outlives the work
PROJECT = "posttrain"
WANDB = {"WANDB_MODE": "offline", "WANDB_PROJECT": PROJECT}


def check(tracker: str) -> None:
    """Raises: Refusal, if a tracker is not installed."""
    if tracker != "none":
        needs(tracker, f"runtime.tracking: {tracker}", tracker)


def environment(path: str, key: str) -> dict[str, str]:
    """Where the trackers write, a folder a run. W&B sends nothing unless the user's own environment has it do so."""
    folder = str((FOLDER / path / key).absolute())
    said = {"TENSORBOARD_LOGGING_DIR": folder, "TRACKIO_DIR": folder, "WANDB_DIR": folder}
    return said | {name: os.environ.get(name, value) for name, value in WANDB.items()}
