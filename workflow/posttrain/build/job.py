"""What a stage's program sees of the build: its recipe, its inputs, and a folder to work in."""

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrain.adapters import beside
from posttrain.build import launch, status
from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal, read_json, write_json
from posttrain.recipes.identity import SHARD

FULL = (  # how those say it that have no memory left
    "out of memory",  # PyTorch's allocators, CUDA, NCCL, Triton
    "can't allocate memory",  # PyTorch on a CPU
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuSOLVER, cuSPARSE, cuDNN
    "ALLOCATION_FAILED",  # cuDNN 9
)
# A GPU, a link or a disk that fails, by the names of torch's classes, which are not imported for that, and Python's.
MACHINES = {"AcceleratorError", "DistError", "ConnectionError", "TimeoutError"}


@dataclass
class Job:
    """One run of one stage. A context: leaving it normally says `done`, an exception says `broken` and why."""

    path: str  # models/zephyr-7b-sft
    recipe: dict  # what the artifact is, apart from its inputs
    inputs: dict[str, Path]  # role → the folder of an artifact
    files: dict[str, Path]  # role → a file or folder outside the build
    texts: dict[str, str]  # role → a text frozen with the plan
    runtime: dict
    work: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    main: bool = True  # of several ranks, the one that writes
    identity: dict = field(default_factory=dict)  # the recipe with its inputs' names, for what is said of these alone

    @property
    def out(self) -> Path:
        """The artifact's files."""
        return self.work / "files"

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    @property
    def kept(self) -> Path:
        """What is finished of work that is done piece by piece."""
        return self.work / "kept"

    @property
    def shards(self) -> list[Path]:
        """The folders of those that the artifact is gathered from, in order."""
        return [folder for role, folder in self.inputs.items() if role.startswith(SHARD)]

    def say(self, **said: Any) -> None:
        """Tell the status file how far the job is."""
        if self.main:
            status.write(self.work, **said)

    def shared(self) -> dict[str, float]:
        """The time of the shards, which no artifact but the one that is gathered from them shows."""
        if not self.shards:
            return {}
        return {"shard_seconds": sum(read_json(f"{folder}.run.json").get("seconds", 0) for folder in self.shards)}

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            if self.main:
                write_json(self.work / "metrics.json", self.metrics | self.shared())
            self.say(state="done")
        elif not isinstance(error, Stopped):
            said = str(error).strip().splitlines() or [""]
            name = "" if isinstance(error, SystemExit) else f"{kind.__name__}: "
            status.fail(self.work, f"{name}{said[0]}", kind_of(error))
            if isinstance(error, Refusal) and "POSTTRAIN_SUPERVISOR" in os.environ:
                raise SystemExit(1) from None  # the supervisor says it, once, with the target's name


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that less at once may mend it.

    accelerate's `should_reduce_batch_size` misses most of these, and counts what cuDNN cannot do among them.
    """
    if isinstance(error, MemoryError):  # Python's, NumPy's, Arrow's
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in FULL)  # torch's are


def kind_of(error: BaseException) -> str | None:
    """What may mend an error: less at once, or another machine; None of a mistake, which stays one."""
    if out_of_memory(error):
        return status.OUT_OF_MEMORY
    named = MACHINES & {kind.__name__ for kind in type(error).__mro__}
    return status.MACHINE if named and "device-side assert" not in str(error) else None


class Stopped(SystemExit):
    """Raised when a job was asked to stop and has saved a checkpoint."""


def open_job(description: str) -> Job:
    """The job that the command line names: TARGET --plan PLAN --work FOLDER."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="what to build: models/zephyr-7b-sft")
    parser.add_argument("--plan", required=True, help="the frozen plan: .posttrain/plan/<digest>.json")
    parser.add_argument("--work", required=True, type=Path, help="the folder to work in; the artifact is its files/")
    args = parser.parse_args()
    die_with_parent(os.environ.get("POSTTRAIN_SUPERVISOR"))
    plan = read_json(args.plan)
    if args.target not in plan.get("targets", {}):
        sys.exit(f"{args.plan} has no target {args.target}")
    target = plan["targets"][args.target]
    (args.work / "files").mkdir(parents=True, exist_ok=True)
    return Job(
        path=args.target,
        recipe=target["own"],
        inputs=inputs_of(target, args.work),
        files={role: Path(path) for role, path in target["files"].items()},
        texts=target["texts"],
        runtime=launch.in_force(args.work, target["runtime"]),
        work=args.work,
        main=os.environ.get("RANK", "0") == "0",
        identity=target["identity"],
    )


def inputs_of(target: dict, work: Path) -> dict[str, Path]:
    """Each input's folder. An adapter's files name no base, for equal ones are equal whatever their bases are called:
    what a program opens is a folder of links to them, with a config that names the base as this checkout has it.
    """
    inputs = {role: Path(path) for role, path in target["inputs"].items()}
    for role in [role for role in inputs if f"{role}.weights" in inputs]:
        inputs[role] = beside(inputs[role], inputs[f"{role}.weights"], work / "beside" / role)
    return inputs
