"""Cells of the table of methods: one launch, one kind of weights, several methods, on the micro-chain.

    accelerate launch … tests/method_cells.py PROJECT WEIGHTS LAUNCH INPUTS OUT METHOD…

Started by tests/prove_methods.py, which knows what to make of a method that takes its processes with it. What a plan
would refuse is tried all the same: the failure is what the refusal is for.
"""

import dataclasses
import os
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "build"))

import torch
from accelerate.state import DistributedType, PartialState
from stages import Stage, of_weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, training_args
from transformers.integrations import unset_hf_deepspeed_config

from conftest import Project
from posttrain import checkpoints
from posttrain.adapters import beside, is_adapter
from posttrain.build.job import Job
from posttrain.files import write_json
from posttrain.train import arguments, run

LAUNCH = sys.argv[3]
FIRST = os.environ.get("RANK", "0") == "0"


def main() -> None:
    project, weights, _, inputs, out, *methods = sys.argv[1:]
    if LAUNCH == "fsdp":
        take_gloo_for_gpus()
    for method in methods:
        cell = Path(out, f"{method}.{weights}.{LAUNCH}.json")
        try:
            said = {"ran": True, **ran(Project(Path(project)), method, weights, Path(inputs))}
        except (Exception, SystemExit) as error:  # a refusal is the latter
            traceback.print_exc()
            write_json(cell, {"ran": False, "why": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"})
            os.kill(os.getpid(), signal.SIGKILL)  # with it go the others, which may wait for it
        if FIRST:
            write_json(cell, said)


def take_gloo_for_gpus() -> None:
    """Accelerate and transformers know no FSDP of a CPU, which torch has."""
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    training_args.is_torch_bf16_gpu_available = lambda: True
    common = arguments.common
    arguments.common = lambda job: common(job) | {"use_cpu": False}


def ran(project: Project, method: str, weights: str, inputs: Path) -> dict:
    """Two steps of a method, saved and opened."""
    work = inputs / f"{method}.{LAUNCH}.{os.getppid()}"  # of all ranks that one launcher started
    own = Path(f"{work}.{os.environ.get('RANK', '0')}")
    stage = of_weights(Stage.by(method, project, own), weights)
    for role in ("tokens", "reference"):  # made by one process, beside this
        stage.inputs.pop(role, None)
        if (made := inputs / f"{role}.{method}").exists():
            stage.inputs[role] = made
    job = launched(stage.job(4 if LAUNCH != "single" else 8, max_steps=2), work)
    trainer = stage.trainer(job)
    run.train(trainer, job)
    run.save(trainer, job)
    return {"loss": job.metrics["history"][0]["loss"], "opened": opened(job)} if FIRST else {}


def launched(job: Job, work: Path) -> Job:
    """The job as its launch has it, in one work folder of all ranks."""
    runtime = job.runtime | {"launch": LAUNCH, "processes": 1 if LAUNCH == "single" else 2}
    runtime["gradient_accumulation_steps"] = 1
    (work / "files").mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(job, runtime=runtime, work=work, main=FIRST)


def opened(job: Job) -> str:
    """What transformers makes of the saved folder, by itself; of an adapter, beside its base."""
    unset_hf_deepspeed_config()  # else ZeRO-3 would shard it over ranks that are not asked
    scores = checkpoints.has_head(job.out)
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    folder = beside(job.out, job.inputs["base"], job.work / "shown") if is_adapter(job.out) else job.out
    model = kind.from_pretrained(folder, **({"num_labels": 1} if scores else {}))
    with torch.no_grad():
        assert model(input_ids=torch.arange(8)[None]).logits.isfinite().all()
    return type(model).__name__


main()
