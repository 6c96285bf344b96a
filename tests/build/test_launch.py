"""Each launch on two real processes: it is what was asked for, or is refused, and makes the model that one makes."""

import sys
import time
from types import SimpleNamespace

import pytest
import torch
from accelerate import DistributedType
from kills import Place
from stages import STILL, Stage, difference, weights
from transformers import AutoModelForCausalLM, PreTrainedModel

from conftest import DPO, SFT, Project
from posttrain.build import processes
from posttrain.files import Refusal, read_json
from posttrain.train import launch, models

pytest_plugins = ["stage_fixtures"]

RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
BASES = {SFT: "models/micro-init", DPO: SFT}
SCRIPT = "scripts/train_sft.py"
# accelerate knows no FSDP of a CPU. With these lines in a checkout's own script, gloo is taken for GPUs.
FSDP_ON_A_CPU = """\
import dataclasses, os
os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
from accelerate.state import DistributedType, PartialState
PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)

from posttrain.build.job import open_job
"""
# transformers says it where there are GPUs only.
WAITS = """\
        import torch.distributed
        group = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))
        assert group.options._timeout.total_seconds() == 77
        run.train(trainer, job)
"""


def spread(project: Project, target: str, said: str) -> None:
    """Have a target trained by two processes."""
    project.forget(target)
    project.edit(RUNTIME, f"runtime: {{processes: 2, {said}, save_steps: 1, logging_steps: 1}}")


def run_of(project: Project, target: str) -> dict:
    return read_json(project.path(f"{target}.run.json"))


def losses(project: Project, target: str) -> list[float]:
    return [line["loss"] for line in run_of(project, target)["metrics"]["history"] if "loss" in line]


def forms(tensors: dict[str, torch.Tensor]) -> dict[str, tuple]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (SFT, "launch: ddp"),
        (SFT, "launch: zero2"),
        (DPO, "launch: zero3"),
        (SFT, "launch: fsdp, activation_checkpointing: true, ddp_timeout: 77"),
    ],
    ids=lambda value: value.split(",")[0].replace("launch: ", "").rpartition("-")[2],
)
def test_two_processes_make_the_model_that_one_makes(built: Project, target: str, said: str) -> None:
    one, first, files = weights(built, target), losses(built, target), built.manifest(target)["files"]
    spread(built, target, said)
    if "fsdp" in said:
        built.edit("from posttrain.build.job import open_job\n", FSDP_ON_A_CPU, SCRIPT)
        built.edit("sft(job)", 'sft(dataclasses.replace(job, runtime={**job.runtime, "gpus": 1}))', SCRIPT)
        built.edit("        run.train(trainer, job)\n", WAITS, SCRIPT)
    assert built.make(target)[1] == [target]
    made = run_of(built, target)["launch"]
    assert (f"launch: {made['launch']}", made["processes"], made["micro_batch_size"]) == (said.split(",")[0], 2, 4)
    two = weights(built, target)
    assert difference(one, two, weights(built, BASES[target])) < STILL
    assert losses(built, target) == pytest.approx(first, rel=1e-5)
    # What is saved is what one process saves: the same tensors in the same files, which transformers opens.
    assert forms(two) == forms(one)
    assert [name for name, of in built.manifest(target)["files"].items() if files[name] != of] == ["model.safetensors"]
    opened = AutoModelForCausalLM.from_pretrained(built.path(target)).state_dict()
    assert all(torch.equal(opened[name], tensor) for name, tensor in two.items())


def test_zero3_widens_a_base_that_no_process_holds_whole(built: Project) -> None:
    """New tokens, then SFT and DPO on them: the base is opened in shards, widened, gated, saved and proved."""
    built.edit("base: micro-init", "base: micro-init\n    template: bytes\n    added_tokens: ['<|turn|>']")
    built.edit(RUNTIME, "runtime: {processes: 2, launch: zero3, save_steps: 1}")
    assert built.make(DPO)[1] == [SFT, DPO]
    rows = {path: weights(built, path)["model.embed_tokens.weight"] for path in ("models/micro-init", SFT, DPO)}
    assert [len(table) - len(rows["models/micro-init"]) for table in rows.values()] == [0, 1, 1]


def test_one_rank_that_breaks_ends_them_all_with_its_reason(built: Project) -> None:
    place = Place(built, SFT)
    spread(built, SFT, "launch: zero3")
    lines = "        if not job.main:\n            raise RuntimeError('this rank is broken')\n"
    built.edit("        run.train(trainer, job)\n", f"{lines}        run.train(trainer, job)\n", SCRIPT)
    output, _ = built.make(SFT, rc=1)
    assert time.time() - (place.work / "failure.json").stat().st_mtime < 60
    assert f"{SFT}: RuntimeError: this rank is broken" in output
    assert built.status(SFT)["state"] == "broken" and place.carriers() == []


# What falls back to something else


def test_a_launch_that_falls_back_to_one_process_is_refused(built: Project) -> None:
    spread(built, SFT, "launch: ddp")
    built.edit("MULTI_GPU", "MULTI_CPU", "config/launch/ddp.yaml")  # accelerate then runs one process, and says nothing
    output, _ = built.make(SFT, rc=1)
    assert "launch ddp: its number of processes was to be 2, and is 1; look at config/launch/ddp.yaml" in output
    assert not built.path(f"{SFT}.json").exists()


def test_fsdp_that_falls_back_to_data_parallel_is_refused(built: Project) -> None:
    spread(built, SFT, "launch: fsdp")
    output, _ = built.make(SFT, rc=1)
    assert "launch fsdp: its distributed type was to be FSDP, and is MULTI_CPU; FSDP is for GPUs" in output


def test_zero3_of_a_model_that_every_process_holds_whole_is_refused(built: Project) -> None:
    spread(built, SFT, "launch: zero3")
    built.edit("args=args", "args=arguments.sft(job)", SCRIPT)
    built.edit("        args = arguments.sft(job)", "        # none", SCRIPT)
    output, _ = built.make(SFT, rc=1)
    assert "launch zero3: every process has opened the whole model, for the trainer's arguments were made" in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine whose torch sees no GPU")
def test_a_gpu_that_torch_does_not_see_is_not_a_cpu(sft: Stage) -> None:
    job = sft.job(runtime={"gpus": 1})
    with pytest.raises(Refusal, match="launch single: its device was to be cuda, and is cpu"):
        launch.check(sft.trainer(job), job)


SHARDED = SimpleNamespace(  # a trainer as far as it is looked at: two processes of ZeRO-3 and, by its state, of FSDP2
    args=SimpleNamespace(device=torch.device("cpu")),
    accelerator=SimpleNamespace(
        num_processes=2,
        distributed_type=DistributedType.DEEPSPEED,
        deepspeed_plugin=SimpleNamespace(zero_stage=3, deepspeed_config={"zero_optimization": {}}),
        state=SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=1, cpu_offload=None)),
    ),
    model=torch.nn.Linear(1, 1),
)


@pytest.mark.parametrize(
    ("kind", "said", "why"),
    [
        ("DEEPSPEED", {"launch": "zero2"}, "zero2: its ZeRO stage was to be 2, and is 3"),
        ("DEEPSPEED", {"launch": "zero3", "offload": "all"}, "zero3: its offload was to be all, and is none"),
        ("DEEPSPEED", {"launch": "fsdp"}, "fsdp: its distributed type was to be FSDP, and is DEEPSPEED"),
        ("FSDP", {"launch": "fsdp"}, "fsdp: its version of FSDP was to be 2, and is 1"),
        ("MULTI_GPU", {"launch": "ddp", "nodes": 2}, "ddp: its number of processes of a node was to be 1, and is 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_launch_that_is_another_is_refused(
    sft: Stage, monkeypatch: pytest.MonkeyPatch, kind: str, said: dict, why: str
) -> None:
    job = sft.job(runtime={"processes": 2, **said})
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(SHARDED.accelerator, "distributed_type", DistributedType[kind])
    with pytest.raises(Refusal, match=f"launch {why}"):
        launch.check(SHARDED, job)


def test_fsdp_that_shards_nothing_is_refused(sft: Stage) -> None:
    with pytest.raises(Refusal, match="launch fsdp: every process holds all of weight"):
        launch.check_learnt(SHARDED, sft.job(runtime={"launch": "fsdp"}))


def test_several_nodes_are_slurms_to_give(built: Project) -> None:
    spread(built, SFT, "launch: ddp, nodes: 2")
    output, _ = built.make(SFT, rc=1)
    assert f"{SFT}: runtime.nodes: 2 are asked for, and this is no job of SLURM, which gives them; build" in output


# What is chosen


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("zero2, offload: optimizer", ["--offload_optimizer_device", "cpu"]),
        ("zero3, offload: all", ["--offload_optimizer_device", "cpu", "--offload_param_device", "cpu"]),
        ("fsdp, offload: all", ["--fsdp_offload_params", "true"]),
    ],
)
def test_what_is_offloaded_is_said_to_accelerate(built: Project, said: str, flags: list[str]) -> None:
    built.edit(RUNTIME, f"runtime: {{processes: 2, launch: {said}}}")
    built.make("-n", SFT)
    runtime = built.targets()[SFT]["runtime"]
    command = processes.command(SCRIPT, [SFT], runtime, built.root, online=False)
    assert [word for word in command if word in flags or word.startswith(("--offload", "--fsdp_offload"))] == flags
    plain = processes.command(SCRIPT, [SFT], runtime | {"offload": "none"}, built.root, online=False)
    assert [word for word in command if word not in flags] == plain


@pytest.mark.parametrize(
    ("runtime", "train", "works", "chosen"),
    [
        ({"gpus": 1}, {"bf16": True}, True, "flash_attention_2"),
        ({"gpus": 1}, {"dtype": "bfloat16"}, True, "flash_attention_2"),
        ({"gpus": 1}, {}, True, "sdpa"),  # float32, which flash-attn does not know
        ({"gpus": 1}, {"bf16": True}, False, "sdpa"),
        ({}, {"bf16": True}, True, "sdpa"),
        ({"attn_implementation": "eager", "gpus": 1}, {"bf16": True}, True, "eager"),
    ],
)
def test_attention_is_flash_attns_where_that_works(
    sft: Stage, monkeypatch: pytest.MonkeyPatch, runtime: dict, train: dict, works: bool, chosen: str
) -> None:
    monkeypatch.setattr(models, "flash_attn_works", lambda: works)
    assert models.attention(sft.job(runtime=runtime, **train)) == chosen


def test_a_flash_attn_that_cannot_be_imported_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "is_flash_attn_2_available", lambda: True)  # by its version alone
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    assert not models.flash_attn_works()


@pytest.mark.parametrize("said", ["sdpa", "eager"])
def test_the_attention_that_ran_is_recorded(sft: Stage, said: str) -> None:
    job = sft.job(runtime={"attn_implementation": said})
    model = models.open_base(job, models.open_tokenizer(job))
    assert job.metrics["attn_implementation"] == said == model.config._attn_implementation


def test_kernels_are_refused_where_they_are_missing(sft: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sft.job(runtime={"use_kernels": True, "gpus": 1})
    tokenizer = models.open_tokenizer(job)
    monkeypatch.setattr(models, "is_kernels_available", lambda: False)
    with pytest.raises(Refusal, match="runtime.use_kernels: transformers needs the package kernels"):
        models.open_base(job, tokenizer)
    monkeypatch.setattr(models, "is_kernels_available", lambda: True)
    monkeypatch.setattr(PreTrainedModel, "set_use_kernels", lambda *_: None)  # as where none is found: all goes on
    with pytest.raises(Refusal, match="runtime.use_kernels: no layer of this model has a kernel here"):
        models.open_base(job, tokenizer)
