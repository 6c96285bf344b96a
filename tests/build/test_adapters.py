"""Adapters: what they are trained beside, how they are gone on with, merged, and refused beside other weights."""

import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraModel
from safetensors.torch import load_file, save_file
from stages import STILL, Stage, difference, uneven
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from posttrain import checkpoints
from posttrain.adapters import ADAPTED, ADAPTER, ADAPTER_CONFIG, beside, content_of_base
from posttrain.build import processes
from posttrain.build.job import Job, inputs_of
from posttrain.files import Refusal
from posttrain.recipes.adapters import Peft, Quantization
from posttrain.train import models, run
from posttrain.train.merge import merge

pytest_plugins = ["stage_fixtures"]


def adapt(stage: Stage, quantized: bool = False, **said: object) -> Stage:
    """A stage that trains an adapter, of rank 4 if nothing else is said."""
    own = stage.target["own"] | {"peft": Peft(**{"r": 4, **said}).model_dump()}
    if quantized:
        own["quantization"] = Quantization(load_in_4bit=True).model_dump()
    stage.target = stage.target | {"own": own}
    return stage


def trained(stage: Stage, **train: object) -> Job:
    """A job that was run to its end, and saved."""
    job = stage.job(**{"max_steps": 2, "learning_rate": 1e-2, **train})
    trainer = stage.trainer(job)
    run.train(trainer, job)
    run.save(trainer, job)
    return job


def shown(job: Job) -> Path:
    """A job's adapter as the next job sees it."""
    return beside(job.out, checkpoints.weights_of(job.inputs["base"]), job.work / "shown")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(20)[None]).logits


SHAPES = [{}, {"use_rslora": True}, {"use_dora": True}, {"target_modules": ["q_proj", "v_proj"]}]


@pytest.mark.parametrize("said", SHAPES, ids=str)
def test_an_adapter_is_trained_and_its_base_is_not(sft: Stage, said: dict) -> None:
    stage = adapt(sft, **said)
    trainer = stage.trainer(job := stage.job(max_steps=2, learning_rate=1e-2))
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    run.train(trainer, job)
    changed = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all("lora" in name for name in changed)
    run.save(trainer, job)
    assert not (job.out / "model.safetensors").exists() and not (job.out / "README.md").exists()
    opened = checkpoints.open_model(AutoModelForCausalLM, shown(job))
    assert torch.allclose(logits(opened), logits(trainer.model), atol=1e-6)
    by_transformers = logits(AutoModelForCausalLM.from_pretrained(shown(job)))
    # transformers 5.23 opens DoRA without the lengths that it learnt, and only warns: its merge is what opens there.
    assert torch.equal(by_transformers, logits(opened)) != said.get("use_dora", False)


@pytest.mark.parametrize("quantized", [False, True], ids=["whole", "four bits"])
@pytest.mark.parametrize("method", ["sft", "reward", "dpo", "kto", "orpo", "cpo"])
def test_every_method_trains_an_adapter(sft: Stage, dpo: Stage, method: str, quantized: bool) -> None:
    """Through its gate: for DPO and KTO the base with its adapter off is the reference, in four bits as well."""
    stage = adapt(sft if method == "sft" else dpo.of(method), quantized)
    if method != "sft":
        stage.tokenise(uneven("dpo"))
    job = trained(stage)
    learnt = load_file(job.out / ADAPTER)
    assert any("lora_B" in name and tensor.abs().sum() for name, tensor in learnt.items())
    assert ("base_model.model.score.weight" in learnt) == (method == "reward")


def test_what_was_to_be_in_four_bits_is(sft: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = adapt(sft, quantized=True)
    model = models.open_base(job := stage.job(), models.open_tokenizer(job))
    projection = model.model.layers[0].self_attn.q_proj
    assert projection.weight.dtype == torch.uint8 and projection.weight.quant_state.nested
    monkeypatch.setattr(models, "BitsAndBytesConfig", lambda **_: None)  # a library that quietly does nothing
    with pytest.raises(Refusal, match="quantization was to hold .* in four bits, and its weights are torch.float32"):
        models.open_base(job, models.open_tokenizer(job))


def test_a_module_that_the_base_has_not_is_named(sft: Stage) -> None:
    """PEFT would train the others, and say nothing."""
    stage = adapt(sft, target_modules=["q_proj", "v_prj"])
    with pytest.raises(Refusal, match="target_modules: the base has no module 'v_prj'. Did you mean v_proj?"):
        models.open_base(job := stage.job(), models.open_tokenizer(job))


def missing(name: str) -> None:
    raise importlib.metadata.PackageNotFoundError(name)


def test_a_package_that_is_not_here_is_named(sft: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    job = adapt(sft, quantized=True).job(runtime={"launch": "zero2"})
    with pytest.raises(Refusal, match="quantization needs bitsandbytes, which is not installed here: pip install .*"):
        models.said_of_base(job)
    with pytest.raises(Refusal, match=r"runtime.launch: zero2 needs deepspeed, .* -e '.\[sharding\]'"):
        processes.command("scripts/train_sft.py", [], job.runtime, Path(), online=False)


def test_four_bits_let_gradients_through_on_every_cpu(sft: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """On those with AVX-512 BF16 bitsandbytes would repack the weights as the gate looks at them, for good."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    stage = adapt(sft, quantized=True)
    trainer = stage.trainer(job := stage.job(max_steps=1))
    run.train(trainer, job)
    quantised = [module for module in trainer.model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    assert len(quantised) == 7 and not any(
        getattr(module.weight.quant_state, "packing_format_for_cpu", False) for module in quantised
    )


def test_an_adapter_is_gone_on_with_and_held_to_what_it_was(sft: Stage, dpo: Stage) -> None:
    """The reference is a frozen copy of the adapter: with the base alone the gate would not open."""
    first = trained(adapt(sft), max_steps=4)
    stage = adapt(dpo)
    stage.inputs["base"] = shown(first)
    stage.tokenise(uneven("dpo"))
    job = trained(stage)
    before, after = load_file(first.out / ADAPTER), load_file(job.out / ADAPTER)
    assert before.keys() == after.keys() and any(not torch.equal(before[name], after[name]) for name in before)
    assert checkpoints.weights_of(shown(job)) == checkpoints.weights_of(shown(first)) == sft.inputs["base"]
    assert sorted(path.name for path in job.out.iterdir() if path.is_dir()) == [], "no copy of the first adapter"
    stage.inputs["base"] = sft.inputs["base"]
    stage.refer()
    stage.inputs["base"] = shown(first)
    with pytest.raises(Refusal, match="physics gate"):
        run.train(stage.trainer(other := stage.job()), other)


def test_an_adapter_is_not_opened_on_other_weights(sft: Stage, tmp_path: Path) -> None:
    job = trained(adapt(sft))
    base = Path(shutil.copytree(sft.inputs["base"], tmp_path / "base"))
    manifest = json.loads(Path(f"{sft.inputs['base']}.json").read_text())
    Path(f"{base}.json").write_text(json.dumps(manifest | {"content": "0" * 16}))
    with pytest.raises(Refusal, match=f"was trained beside weights of digest .*, and {base} has 0000"):
        checkpoints.open_model(AutoModelForCausalLM, beside(job.out, base, tmp_path / "shown"))
    assert content_of_base(job.out) == manifest["content"]
    (job.out / ADAPTED).unlink()  # as PEFT itself saves it
    (tmp_path / "shown" / ADAPTED).unlink()
    with pytest.raises(Refusal, match="is an adapter that was not trained here"):
        checkpoints.open_model(AutoModelForCausalLM, tmp_path / "shown")


def test_equal_adapters_are_equal_files_whatever_their_bases_are_called(sft: Stage, tmp_path: Path) -> None:
    """So one that is restored from a shared store is opened on the base as this checkout calls it."""
    one, base = trained(adapt(sft)), sft.inputs["base"]
    sft.inputs["base"] = Path(shutil.copytree(base, tmp_path / "renamed"))
    shutil.copy(f"{base}.json", f"{sft.inputs['base']}.json")
    two = trained(sft)
    files = [{file.name: file.read_bytes() for file in job.out.iterdir()} for job in (one, two)]
    assert files[0] == files[1] and ADAPTER_CONFIG in files[0]
    target = {"inputs": {"model": str(one.out), "model.weights": str(sft.inputs["base"])}}
    seen = inputs_of(target, tmp_path / "work")["model"]
    assert checkpoints.weights_of(seen) == sft.inputs["base"]
    assert inputs_of(target, tmp_path / "work")["model"] == seen  # each rank makes it, and the next run again
    assert torch.equal(*(logits(checkpoints.open_model(AutoModelForCausalLM, place)) for place in (seen, shown(one))))


def merged(stage: Stage, adapter: Path, dtype: str = "float32") -> Job:
    """A job that merged an adapter into its base."""
    job = stage.job()
    job.recipe, job.inputs = {"dtype": dtype}, {"base": adapter}
    merge(job)
    return job


def with_reach(job: Job, sigma: float) -> Path:
    """A job's adapter, its effect drawn anew and as large as is said."""
    file, draw = job.out / ADAPTER, torch.Generator().manual_seed(0)
    tensors = load_file(file)
    for name in sorted(tensors):
        if "lora_B" in name:
            tensors[name] = sigma * torch.randn(tensors[name].shape, generator=draw)
    save_file(tensors, file, {"format": "pt"})
    return shown(job)


@pytest.mark.parametrize("method", ["sft", "reward"])
@pytest.mark.parametrize("said", SHAPES[:3], ids=str)
def test_a_merge_is_its_adapter_and_its_base(sft: Stage, dpo: Stage, method: str, said: dict) -> None:
    stage = adapt(sft if method == "sft" else dpo.of("reward"), **said)
    if method == "reward":
        stage.tokenise(uneven("dpo"))
    adapter = shown(trained(stage))
    kind = AutoModelForCausalLM if method == "sft" else AutoModelForSequenceClassification
    made = kind.from_pretrained(merged(stage, adapter).out, dtype="auto")
    assert made.dtype == torch.float32
    assert torch.allclose(logits(made), logits(checkpoints.open_model(kind, adapter)), atol=1e-4)


def test_a_merge_is_saved_in_the_dtype_that_is_asked_for(sft: Stage) -> None:
    """And an adapter that outweighs its rounding is not refused."""
    adapter = with_reach(trained(adapt(sft)), 0.1)
    for dtype in ("float32", "bfloat16"):
        saved = load_file(merged(sft, adapter, dtype).out / "model.safetensors")
        assert {tensor.dtype for tensor in saved.values()} == {getattr(torch, dtype)}


def test_a_tiny_adapter_is_refused_in_bfloat16_and_merged_in_float32(sft: Stage) -> None:
    adapter = with_reach(trained(adapt(sft)), 1e-4)
    with pytest.raises(Refusal, match=r"its base, which it moves by [\d.e-]+: .* Say `dtype: float32`"):
        merged(sft, adapter, "bfloat16")
    base = AutoModelForCausalLM.from_pretrained(sft.inputs["base"])
    made = AutoModelForCausalLM.from_pretrained(merged(sft, adapter).out)
    assert not torch.equal(logits(made), logits(base))


def test_an_adapter_that_changes_nothing_is_merged(sft: Stage) -> None:
    adapter = with_reach(trained(adapt(sft)), 0)
    for dtype in ("float32", "bfloat16"):
        merged(sft, adapter, dtype)


@pytest.mark.parametrize("method", ["sft", "reward"])
def test_an_adapter_that_was_dropped_is_refused(
    sft: Stage, dpo: Stage, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little it does. Of a reward model the head is still there, which no base has."""
    stage = adapt(sft if method == "sft" else dpo.of("reward"))
    if method == "reward":
        stage.tokenise(uneven("dpo"))
    adapter = with_reach(trained(stage), 1e-4)
    monkeypatch.setattr(LoraModel, "merge_and_unload", lambda model, **_: model.unload())
    with pytest.raises(Refusal, match="physics gate: the merged model's logits are"):
        merged(stage, adapter)


def test_an_adapter_does_not_hold_the_rows_of_new_tokens(sft: Stage) -> None:
    stage = adapt(sft)
    tokenizer = AutoTokenizer.from_pretrained(sft.inputs["tokenizer"])
    tokenizer.add_tokens(["<|new|>"])
    with pytest.raises(Refusal, match="the tokenizer has tokens that the base lacks"):
        models.open_base(stage.job(), tokenizer)


@pytest.mark.parametrize("quantized", [False, True], ids=["whole", "four bits"])
def test_adapters_learn_the_batch_and_not_the_micro_batch(sft: Stage, quantized: bool) -> None:
    stage = adapt(sft, quantized)
    stage.tokenise(uneven("sft"))
    said = {"batch_size": 16, "max_steps": 4, "learning_rate": 1e-2}
    whole, parts = (stage.train(stage.job(micro, **said)) for micro in (16, 8))
    names = {name: torch.zeros_like(tensor) for name, tensor in whole.items() if "lora" in name}
    assert difference(whole, parts, names) < STILL
