"""Weights that a training keeps on its way: at evenly spaced steps, of which the end is the last.

Nothing resumes from them. In `kept/weights` of the work folder they wait for the end, each a folder that
`from_pretrained` opens.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from posttrain.build.job import Job
from posttrain.files import Refusal
from posttrain.train import saving


def count(job: Job) -> int:
    """How many the recipe asks for; none where it says nothing."""
    return job.recipe["train"].get("keep_checkpoints", 0)


def places(job: Job, max_steps: int) -> dict[int, Path]:
    """The folder of each step that is kept; their names sort as the steps do."""
    steps = [-(-i * max_steps // count(job)) for i in range(1, count(job) + 1)]
    return {step: job.kept / "weights" / f"step-{step:0{len(str(max_steps))}}" for step in steps}


class Keep(TrainerCallback):
    """Writes the weights down at the steps that are kept, each whole or not at all."""

    def __init__(self, trainer: Trainer, job: Job) -> None:
        self.trainer, self.job = trainer, job

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if (asked := count(self.job)) > state.max_steps:
            raise Refusal(f"train.keep_checkpoints {asked} are more than the {state.max_steps} steps there are")
        self.places = places(self.job, state.max_steps)
        for step, folder in self.places.items():
            if self.job.main and step > state.global_step:  # made anew by this run: a GPU may make it otherwise
                shutil.rmtree(folder, ignore_errors=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step not in self.places:
            return
        folder = self.places[state.global_step]
        draft = folder.with_name(f".{folder.name}")
        if self.job.main:
            shutil.rmtree(draft, ignore_errors=True)  # a kill came while it was written
        saving.write(self.trainer, draft, self.job.inputs["base"])
        if self.job.main:
            draft.rename(folder)


def gather(job: Job, max_steps: int) -> list[Path]:
    """All that was kept as the artifact's folders: by links, so that a kill here costs nothing."""
    made = []
    for step, folder in places(job, max_steps).items():
        if not folder.exists():
            raise Refusal(f"the weights of step {step} are gone from {folder}; delete {job.work} to train anew")
        made.append(Path(shutil.copytree(folder, job.out / folder.name, copy_function=os.link)))
    return made
