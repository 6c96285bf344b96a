"""What a job asks for where neither its recipe nor the site says: what is expected of it, and something to spare."""

import math

from posttrain.plan import memory
from posttrain.plan.cost import Job, Models
from posttrain.recipes.gpus import GPUS, SLOWEST

LEAST = {"hours": 1, "mem_gb": 8}
SPARE = {"hours": 2, "mem_gb": 1.5}  # times what is expected
WHOLE = {"merge_adapter": 2, "average_models": 2, "average_checkpoints": 2, "convert_gguf": 2}  # models held at once


def settle(known: dict[str, dict], gpu: str | None) -> None:
    """Give each target the hours and the memory that nobody said."""
    models = Models(known)
    for path, target in known.items():
        runtime = target["runtime"]
        if None not in (runtime["hours"], runtime["mem_gb"]):
            continue
        job = models.job(path)
        expected = {"hours": job.expected(GPUS[gpu or SLOWEST]), "mem_gb": of_machine(job)}
        for name, value in expected.items():
            if runtime[name] is None:
                runtime[name] = max(LEAST[name], math.ceil(SPARE[name] * value)) if value else LEAST[name]


def of_machine(job: Job) -> float | None:
    """GB of a machine's memory, as far as they can be told."""
    target, model = job.target, job.architecture
    if not model or target["rule"] == "restore":
        return None
    if job.trains:
        return (memory.of_machine(model, target["own"], target["runtime"]) if job.gpus else job.memory) / 1e9
    if target["stage"] in WHOLE:
        return (memory.LIBRARIES + WHOLE[target["stage"]] * model.parameters * 4) / 1e9
    if "base" in target["inputs"] or "model" in target["inputs"]:
        processes = target["runtime"].get("processes", 1) // target["runtime"].get("nodes", 1)
        each = memory.HOST if job.gpus else memory.LIBRARIES
        return processes * (each + model.parameters * 4) / 1e9
    return None
