"""Where memory runs out a training goes on with less at once, in the same job, unless that would be another model."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from kills import first_step
from stages import STILL, Stage, difference, weights

from conftest import SFT, Project, clean_environment
from posttrain.build import launch, status
from posttrain.build.attempt import Attempt
from posttrain.build.job import Job
from posttrain.build.pool import BATCH, BATCH_TOKENS
from posttrain.build.supervise import Supervisor
from posttrain.files import Refusal, read_json, write_json
from posttrain.recipes import site

pytest_plugins = ["stage_fixtures"]

# A program that says what it was started with, and fits up to some micro-batch. It needs no torch.
PROGRAM = """
import json
from posttrain.build.job import open_job

with open_job("") as job:
    said = job.runtime["micro_batch_size"], job.runtime["gradient_accumulation_steps"]
    with open("tries", "a") as tries:
        print(*said, file=tries)
    fits, breaks = json.load(open("machine"))
    if said[0] > fits:
        (job.out / "half").write_text("made")
        raise MemoryError("Unable to allocate 20.0 GiB")
    if breaks:
        raise RuntimeError("a wire came loose")
    (job.out / "model").write_text("made")
"""


class Machine:
    """A checkout with one target in its plan, and a machine on which so much at once fits."""

    def __init__(self, root: Path, batch: int = 8, **own: object) -> None:
        self.root, self.batch, self.own = root, batch, own
        (root / ".posttrain").mkdir()
        (root / "program.py").write_text(PROGRAM)
        self.fits(99)

    def fits(self, micro: int, breaks: bool = False) -> None:
        write_json(self.root / "machine", [micro, breaks])

    def plan(self, micro: int | None = None, **runtime: object) -> Path:
        micro = micro or self.batch
        said = {"micro_batch_size": micro, "gradient_accumulation_steps": self.batch // micro, "processes": 1}
        target = {"stage": "train_x", "rule": "train_x", "script": "program.py", "own": self.own, "identity": self.own}
        target["runtime"] = {"threads": 1} | said | runtime
        target |= {name: {} for name in ("inputs", "files", "texts", "contents")} | {"environment": "train"}
        plan = {
            "store": "store",
            "root": ".",
            "site": site.read(Path("no-site.yaml")).said,
            "environments": {"train": {"digest": "e", "locked": {}}},
            "targets": {"models/x": target | {"unlocked": []}},
        }
        write_json(self.root / "plan.json", plan)
        return self.root / "plan.json"

    def build(self, micro: int | None = None, rc: int = 0, **runtime: object) -> str:
        """What the supervisor says, and last."""
        self.plan(micro, **runtime)
        run = subprocess.run(
            [sys.executable, "-m", "posttrain.build", "models/x"],
            cwd=self.root,
            env=clean_environment() | {"POSTTRAIN_PLAN": "plan.json"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == rc, run
        return run.stdout if rc == 0 else run.stderr.splitlines()[-1]

    def tries(self) -> list[str]:
        """The micro-batch and the accumulation of each start, since this was asked last."""
        said = (self.root / "tries").read_text().splitlines()
        (self.root / "tries").unlink()
        return said

    def record(self) -> dict:
        return read_json(self.root / "models/x.run.json")

    def work(self) -> Path:
        return next(self.root.glob("work/models/x.*"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_micro_batch_is_halved_until_it_fits_and_the_record_says_so(machine: Machine) -> None:
    machine.fits(2)
    said = machine.build()
    assert machine.tries() == ["8 1", "4 2", "2 4"]
    assert "models/x: out of memory with micro_batch_size 4; goes on with 2, and the same batch" in said
    record = machine.record()
    assert [record["launch"][name] for name in launch.BATCH] == [2, 4]
    assert (record["micro_batch_size"]["asked"], record["micro_batch_size"]["ran"]) == (8, 2)
    assert "to rounding and not to the bit" in record["micro_batch_size"]["equal"]
    assert [path.name for path in (machine.root / "models/x").iterdir()] == ["model"], "half of a try was kept"


def test_what_fits_says_nothing_of_memory(machine: Machine) -> None:
    machine.build()
    assert machine.tries() == ["8 1"]
    assert "micro_batch_size" not in machine.record()


def test_a_later_run_starts_with_what_fitted(machine: Machine) -> None:
    machine.fits(2, breaks=True)
    assert machine.build(rc=1) == "models/x: RuntimeError: a wire came loose"
    machine.tries()
    machine.fits(2)
    machine.build()
    assert machine.tries() == ["2 4"]
    assert (machine.record()["micro_batch_size"]["asked"], machine.record()["micro_batch_size"]["ran"]) == (8, 2)


@pytest.mark.parametrize("asked", [{"micro": 4}, {"processes": 2}], ids=str)
def test_who_asks_for_another_launch_gets_it(machine: Machine, asked: dict) -> None:
    machine.fits(2, breaks=True)
    machine.build(rc=1)
    machine.tries()
    machine.fits(99)
    machine.build(**asked)
    assert machine.tries() == ["4 2" if asked == {"micro": 4} else "8 1"]
    assert "micro_batch_size" not in machine.record()


def test_one_row_that_does_not_fit_is_refused_with_what_to_lower(machine: Machine) -> None:
    machine.fits(0)
    said = machine.build(rc=1)
    assert machine.tries() == ["8 1", "4 2", "2 4", "1 8"]
    assert said.startswith(
        "models/x: out of memory with micro_batch_size 1, of which there is no half; say `activation_"
    )
    assert "max_length" in said and "more gpus" in said
    assert said.endswith(status.read(machine.work())["why"])


def test_a_micro_batch_that_is_the_models_own_is_never_halved(tmp_path: Path) -> None:
    coupled = Machine(tmp_path, micro_batch_size=8)
    coupled.fits(2)
    said = coupled.build(rc=1)
    assert coupled.tries() == ["8 1"]
    assert said.startswith("models/x: out of memory with micro_batch_size 8, which is part of what this model is")
    coupled.fits(2)
    coupled.build(rc=1)
    assert coupled.tries() == ["8 1"], "a retry is not halved either"


@pytest.mark.parametrize(
    ("micro", "steps", "smaller"), [(8, 1, 4), (6, 2, 3), (3, 1, 1), (3, 2, 2), (9, 1, 3), (9, 2, 6), (5, 4, 4)]
)
def test_an_odd_micro_batch_gives_way_to_the_next_that_divides_the_batch(micro: int, steps: int, smaller: int) -> None:
    assert launch.next_smaller(micro, steps) == smaller
    assert micro * steps % smaller == 0


def test_any_rank_may_run_out_of_memory(tmp_path: Path) -> None:
    """Torch's own error; the first rank's own words, said later, do not hide it."""
    second = Job(SFT, {}, {}, {}, {}, {}, tmp_path, main=False)
    with pytest.raises(torch.OutOfMemoryError), second:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    Job(SFT, {}, {}, {}, {}, {}, tmp_path).say(step=3)
    assert status.read(tmp_path)["kind"] == status.OUT_OF_MEMORY


def found(error: BaseException, work: Path) -> str | None:
    """The kind of failure that a job which ends with an error says."""
    with pytest.raises(type(error)), Job(SFT, {}, {}, {}, {}, {}, work):
        raise error
    return status.read(work)["kind"]


def raised(function: Callable[..., object], *given: object) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (whatever it is that PyTorch and NumPy raise)
        function(*given)
    return caught.value


PETABYTE = 1 << 50
TOO_MUCH = {
    "a GPU's allocator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total"),
    "CUDA's own allocator": torch.OutOfMemoryError(
        "Allocation on device 0 would exceed allowed memory. (out of memory)"
    ),
    "CUDA": torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    "CUDA, before PyTorch 2.8": RuntimeError("CUDA error: out of memory"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cuDNN": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cuDNN 9": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "NCCL": torch.distributed.DistBackendError(
        "NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"
    ),
    "a worker": RuntimeError("Caught OutOfMemoryError in DataLoader worker process 0.\nOriginal: CUDA out of memory."),
    "a CPU's allocator": raised(torch.empty, PETABYTE),
    "NumPy": raised(np.ones, PETABYTE),
    "Python": MemoryError(),
}
SOMETHING_ELSE = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
    RuntimeError(
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input."
    ),
    RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It may be out of shared memory."),
    ValueError("the story of a process that ran out of memory is no row of numbers"),
    Refusal("rows that are out of memory"),
]


@pytest.mark.parametrize("error", TOO_MUCH.values(), ids=TOO_MUCH)
def test_who_has_no_memory_left_is_understood(error: BaseException, tmp_path: Path) -> None:
    assert found(error, tmp_path) == status.OUT_OF_MEMORY


@pytest.mark.parametrize("error", SOMETHING_ELSE, ids=str)
def test_another_failure_is_none_of_memory(error: BaseException, tmp_path: Path) -> None:
    assert found(error, tmp_path) is None


DRAWN = {"sampling": {"engine": "transformers", "block_size": 64}}
KNOBS = {  # of each stage that trains nothing, what its own words name
    "reference": ("compute_reference", {}, "no micro_batch_size makes smaller"),
    "completions": ("sample_shard", DRAWN, "with 64 sequences at once; lower sampling.block_size"),
    "drift": ("evaluate_model", {"of": "drift", **DRAWN}, "lower sampling.block_size"),
    "tasks": ("evaluate_shard", {"of": "tasks", "tasks": {}, "block_size": 8}, "8 requests at once; lower block_size"),
    "judge": ("score_completions", {"mode": "pointwise", **DRAWN}, "lower sampling.block_size"),
    "vllm": ("sample_shard", {"sampling": {"engine": "vllm", "block_size": 64}}, "say more gpus under runtime"),
    "rewards": ("score_completions", {"max_length": 1024}, "give the job a GPU with more memory"),
    "text": ("evaluate_model", {"max_length": 1024}, f"lower max_length to below {BATCH_TOKENS // BATCH}"),
}


@pytest.mark.parametrize(("stage", "own", "knob"), KNOBS.values(), ids=KNOBS)
def test_what_trains_nothing_and_does_not_fit_says_what_to_lower(
    stage: str, own: dict, knob: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = opened(machine, "k", monkeypatch)
    target = Supervisor("plan.json", "models/x").target | {"stage": stage, "own": own}
    attempt = Attempt("models/x", target, work, "k", grace=0)
    status.fail(work, "OutOfMemoryError: CUDA out of memory.", status.OUT_OF_MEMORY)
    assert not attempt.shrinks()
    with pytest.raises(Refusal) as refused:
        attempt.give_up(1, advanced=False)
    assert str(refused.value).startswith("models/x: out of memory ") and knob in str(refused.value)


# What a work folder is gone on with.


def opened(machine: Machine, key: str, patch: pytest.MonkeyPatch, **runtime: object) -> Path:
    patch.chdir(machine.root)
    return Supervisor(str(machine.plan(**runtime)), "models/x").open_work(key)


def checkpoint(work: Path) -> Path:
    whole = work / "checkpoints/checkpoint-1/complete.json"
    write_json(whole, {"sizes": {}})
    return whole


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"processes": 2}, "(processes 1 → 2)"),
        ({"processes": 4, "launch": "zero3"}, "(processes 1 → 4, launch ddp → zero3)"),
    ],
)
def test_a_checkpoint_of_another_launch_is_refused_with_both(machine, monkeypatch, asked, says) -> None:
    work = opened(machine, "k", monkeypatch, launch="ddp")
    opened(machine, "k", monkeypatch, **{"launch": "ddp"} | asked)  # nothing is kept yet, so nothing is refused
    opened(machine, "k", monkeypatch, launch="ddp")
    kept = checkpoint(work)
    with pytest.raises(Refusal) as refused:
        opened(machine, "k", monkeypatch, **{"launch": "ddp"} | asked)
    assert f"x.k holds a checkpoint of another launch {says}; set it back to go on, or delete" in str(refused.value)
    assert kept.exists()
    assert opened(machine, "k", monkeypatch, launch="ddp") == work


def test_what_another_key_has_kept_is_left_alone(machine, monkeypatch) -> None:
    """As when the learning rate was changed while the model was stopped, and is set back one day."""
    before = opened(machine, "one", monkeypatch)
    kept = checkpoint(before)
    said = {path: path.read_bytes() for path in before.rglob("*") if path.is_file()}
    assert opened(machine, "two", monkeypatch, processes=2) != before
    assert kept in said and {path: path.read_bytes() for path in said} == said


def unpublished(machine: Machine) -> Path:
    """A model that is taken back out of the store, to where a kill would have left it just before."""
    machine.build()
    machine.tries()
    key = read_json(machine.root / "models/x.json")["key"]
    work, entry = machine.root / f"work/models/x.{key}", machine.root / "store" / key
    entry.chmod(0o755)
    entry.rename(work)
    status.write(work, state="done")
    write_json(work / "kept/blocks/0.json", {})
    for path in machine.root.glob("models/x*"):
        path.unlink()
    return work


def test_what_was_finished_before_a_kill_is_published_and_not_made_again(machine: Machine) -> None:
    work = unpublished(machine)
    machine.build()
    assert not (machine.root / "tries").exists() and not work.exists()
    entry = machine.root / "store" / work.suffix[1:]
    assert sorted(path.name for path in entry.iterdir()) == ["files", "manifest.json", "run.json"]
    assert (machine.root / "models/x/model").read_text() == "made"


def test_what_was_finished_and_damaged_is_made_again(machine: Machine) -> None:
    work = unpublished(machine)
    (work / "files/model").chmod(0o644)
    (work / "files/model").write_text("MADE")
    machine.build()
    assert machine.tries() == ["8 1"]
    assert (machine.root / "models/x/model").read_text() == "made"


# On a real trainer.

RUNTIME, SMALL = "runtime: {save_steps: 1, logging_steps: 1}", "runtime: {micro_batch_size: 4, save_steps: 1}"
TRAIN = "        run.train(trainer, job)\n"
FULL = """\
        import torch
        step = trainer.training_step
        def full(*args):
            if job.runtime["micro_batch_size"] > 2 and trainer.state.global_step == 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return step(*args)
        trainer.training_step = full
"""


def test_a_trainer_goes_on_from_its_checkpoint_to_the_model_of_the_smaller_micro_batch(
    built: Project, sft: Stage
) -> None:
    built.forget(SFT)
    built.edit(RUNTIME, SMALL)
    built.edit(TRAIN, FULL + TRAIN, "scripts/train_sft.py")
    assert built.make(SFT)[1] == [SFT, SFT]
    record = json.loads(built.path(f"{SFT}.run.json").read_text())
    assert (record["resumes"], first_step(record["metrics"])) == (1, 1)
    assert (record["micro_batch_size"]["asked"], record["micro_batch_size"]["ran"]) == (4, 2)
    undisturbed = sft.train(sft.job(2))
    assert difference(undisturbed, weights(built, SFT), weights(built, "models/micro-init")) < STILL
