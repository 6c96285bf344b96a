"""One training run: launched as asked, resumed where it stopped, stopped where asked, proved when done."""

import math
import os
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from transformers import Trainer, TrainerCallback

from posttrain.build.job import Job, Stopped
from posttrain.build.processes import STOP_SIGNALS
from posttrain.files import Refusal, read_json, write_json
from posttrain.train import kept, launch, saving
from posttrain.train.trackers import Tracker

COMPLETE = "complete.json"  # written when all ranks have written a checkpoint


def train(trainer: Trainer, job: Job) -> None:
    """Train to the end, from the newest whole checkpoint. Raises: Stopped, with a checkpoint, when asked to stop."""
    launch.check(trainer, job)
    launch.keep_precision(trainer)
    trainer.add_callback(Watch(trainer, job))
    if job.runtime["tracking"] != "none":
        trainer.add_callback(Tracker(job.runtime["tracking"]))
    if kept.count(job):
        trainer.add_callback(kept.Keep(trainer, job))
    result = trainer.train(resume_from_checkpoint=newest(job.checkpoints))
    if trainer.state.global_step < trainer.state.max_steps:
        job.say(state="resume", step=trainer.state.global_step)
        trainer.accelerator.wait_for_everyone()  # the first rank to leave ends the others
        raise Stopped(os.EX_TEMPFAIL)
    job.metrics |= {"trainer": type(trainer).__name__, "train": result.metrics, "history": trainer.state.log_history}
    job.metrics["peak_memory_bytes"] = peak_memory(trainer.accelerator)


def peak_memory(accelerator: Accelerator) -> int:
    """The most memory that was in use at once: of the process; on GPUs, of tensors on the one with the most."""
    if accelerator.device.type != "cuda":
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(accelerator.gather(torch.tensor(torch.cuda.max_memory_allocated(), device=accelerator.device)).max())


def save(trainer: Trainer, job: Job) -> None:
    """Save the model, or what was kept on the way to it; open it again, and compare."""
    if not kept.count(job):
        saving.write(trainer, job.out, job.inputs["base"])
    if trainer.accelerator.is_main_process:
        *earlier, last = kept.gather(job, trainer.state.max_steps) if kept.count(job) else [job.out]
        for folder in earlier:
            saving.sound(folder)
        sharded = trainer.accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.FSDP)
        saving.prove(trainer.accelerator.unwrap_model(trainer.model), last, sharded)
    trainer.accelerator.wait_for_everyone()


def newest(folder: Path) -> str | None:
    """The newest checkpoint that every rank has written whole; half-written ones are removed."""
    whole = []
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        sizes = read_json(path / COMPLETE).get("sizes")
        if sizes and sizes == file_sizes(path):
            whole.append(path)
        elif int(os.environ.get("RANK", "0")) == 0:
            shutil.rmtree(path, ignore_errors=True)
    return str(whole[-1]) if whole else None


def file_sizes(checkpoint: Path) -> dict[str, int]:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(checkpoint)): path.stat().st_size for path in files if path.name != COMPLETE}


class Watch(TrainerCallback):
    """Tells the status file how far it is; on a signal or a `stop` file, has all ranks save and stop together."""

    def __init__(self, trainer: Trainer, job: Job) -> None:
        self.trainer, self.job = trainer, job
        self.asked, self.told = False, 0.0
        for number in STOP_SIGNALS:
            signal.signal(number, self.ask)

    def ask(self, *_: Any) -> None:
        self.asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        launch.check_learnt(self.trainer, self.job)
        state.compute_steps(args, state.max_steps)  # how often is for the runtime to say, not for a checkpoint
        begins = {"from_step": state.global_step, "from_time": time.time()}
        self.job.say(step=state.global_step, max_steps=state.max_steps, **begins)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        stop = self.asked or (self.job.main and (self.job.work / "stop").exists())
        if args.world_size > 1:
            agreed = torch.tensor(int(stop), device=args.device)
            torch.distributed.all_reduce(agreed, op=torch.distributed.ReduceOp.MAX)
            stop = bool(agreed)
        if stop:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False  # who asks for a stop does not wait for figures
        if control.should_save or control.should_log:
            self.refuse_no_number()
        if time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            self.job.say(step=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict, **_: Any) -> None:
        if "loss" not in logs:
            return
        self.job.say(step=state.global_step, loss=logs["loss"])

    def refuse_no_number(self) -> None:
        """Raises: Refusal, if since the last save or log a step was no number: nothing of it is kept."""
        step, *found = self.trainer.seen.tolist()
        for name, value in zip(("loss", "grad_norm"), found, strict=True):
            if not math.isfinite(value):
                raise Refusal(f"{name} is {value} at step {step:.0f}; lower learning_rate, or look at the rows")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.accelerator.wait_for_everyone()
        if self.job.main:
            checkpoint = self.job.checkpoints / f"checkpoint-{state.global_step}"
            write_json(checkpoint / COMPLETE, {"sizes": file_sizes(checkpoint)})
