# ruff: noqa: E501
"""A YAML of the Alignment Handbook, of any of its generations of keys, becomes a page that plans.

The YAMLs of tests/handbook/ are ours, of values that the handbook's recipes had.
"""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from test_plan import plan_of

from conftest import ROOT, Project, clean_environment
from posttrain.files import Refusal
from posttrain.handbook import keys
from posttrain.recipes import page

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "config/recipes.schema.json").read_text()))
YAMLS = {
    str(path.relative_to(ROOT / "tests/handbook")): path for path in sorted((ROOT / "tests/handbook").rglob("*.yaml"))
}
# Of each what it is to become, on eight GPUs; the model's name is what it was published or saved as.
BECOMES = {
    "2023/dpo/lora.yaml": ("zephyr-7b-dpo-lora", {
        "method": "dpo", "train.optim": "rmsprop", "train.batch_size": 512, "train.beta": 0.1, "peft.r": 64,
        "train.warmup_steps": 0.1, "train.num_train_epochs": 3, "runtime.launch": "ddp", "runtime.eval_steps": 100,
    }),
    "2023/scan/kto.yaml": ("openhermes-7b-align-scan", {
        "method": "kto", "train.beta": 0.3, "train.loss_type": None, "train.batch_size": 128, "train.max_length": None,
    }),
    "2023/sft/full.yaml": ("zephyr-7b-sft-full", {
        "method": "sft", "template": "zephyr", "train.packing_strategy": "wrapped", "train.max_length": 2048,
        "runtime.attn_implementation": "flash_attention_2", "runtime.micro_batch_size": 32, "train.batch_size": 256,
        "runtime.save_steps": None,
    }),
    "2024/cpt/full.yaml": ("gpt2-cpt-dutch", {
        "method": "cpt", "base": "openai-community/gpt2", "train.packing": None, "train.learning_rate": 2e-4,
        "runtime.tracking": "wandb",
    }),
    "2024/dpo/qlora.yaml": ("zephyr-7b-dpo-qlora", {
        "method": "dpo", "train.optim": "paged_adamw_32bit", "peft.lora_alpha": 128, "train.dtype": "bfloat16",
        "quantization.load_in_4bit": True, "quantization.bnb_4bit_use_double_quant": False, "train.batch_size": 128,
    }),
    "2024/orpo/full.yaml": ("zephyr-orpo-141b-A35b-v0.1", {
        "method": "orpo", "train.warmup_steps": 100, "train.lr_scheduler_type": "inverse_sqrt", "template": "zephyr",
        "train.optim": "adamw_bnb_8bit", "train.dtype": None, "runtime.save_steps": None, "train.batch_size": 8,
    }),
    "2024/sft/qlora.yaml": ("zephyr-7b-sft-qlora", {
        "method": "sft", "template": "zephyr", "peft.lora_dropout": 0.05, "train.packing": True, "runtime.eval_steps": None,
    }),
    "2025/dpo/apo.yaml": ("SmolLM3-3B-apo", {
        "method": "dpo", "base": "HuggingFaceTB/SmolLM3-3B-checkpoints@it-SFT", "train.loss_type": "apo_zero", "train.lr_scheduler_kwargs": {"min_lr_rate": 0.1},
        "train.max_grad_norm": 0.2, "runtime.use_kernels": True, "runtime.save_steps": None, "train.batch_size": 16,
    }),
    "2025/orpo/full.yaml": ("mistral-7b-orpo", {"method": "orpo", "train.beta": 0.05, "train.batch_size": 64}),
    "2025/sft/mid.yaml": ("SmolLM3-3B-mid", {
        "method": "sft", "eos_token": "<|im_end|>", "template": "chatml", "train.packing_strategy": "bfd", "train.num_train_epochs": 5,
        "runtime.ddp_timeout": 14400,
    }),
    "2025/sft/mix.yaml": ("smollm-360M-instruct-new", {
        "method": "sft", "train.packing": None, "train.batch_size": 128, "eos_token": "<|im_end|>", "template": "chatml",
    }),
}  # fmt: skip


def imported(path: Path, method: str | None = None, gpus: int = 8) -> tuple[str, keys.Imported]:
    return keys.read(path, method, None, gpus, ROOT / "config/templates")


def said(model: dict, path: str) -> object:
    *parts, name = path.split(".")
    for part in parts:
        model = model.get(part, {})
    return model.get(name)


def test_every_yaml_is_told_what_it_becomes():
    assert set(YAMLS) == set(BECOMES)


@pytest.mark.parametrize("yaml", YAMLS)
def test_a_yaml_becomes_a_page_that_plans(yaml, fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    name, becomes = BECOMES[yaml]
    text, _ = imported(YAMLS[yaml])
    fresh.path("config/recipes/imported.yaml").write_text(text)
    value, _ = page.read(fresh.path("config/recipes/imported.yaml"))
    assert not [error.message for error in SCHEMA.iter_errors(value)]
    assert {path: said(value["models"][name], path) for path in becomes} == becomes
    planned = plan_of(fresh)[f"models/{name}"]
    assert planned["own"]["train"]["learning_rate"] == page.read(YAMLS[yaml])[0]["learning_rate"]
    assert planned["rule"] == f"train_{becomes['method']}"


def test_a_mixer_takes_the_first_rows_and_a_mixture_those_that_a_shuffle_puts_there(tmp_path):
    old = "model_name_or_path: a/b\nlearning_rate: 1e-5\ndataset_mixer: {c/d: 0.15, e/f: 1}\ndataset_splits: [train_sft, test_sft]\n"
    (tmp_path / "old.yaml").write_text(old)
    (tmp_path / "page.yaml").write_text(imported(tmp_path / "old.yaml")[0])
    rows = page.read(tmp_path / "page.yaml")[0]["data"]["old-rows"]
    assert [(each["hub"], each["split"], each.get("weight")) for each in rows["sources"]] == [
        ("c/d", "train_sft", 0.15), ("e/f", "train_sft", None)
    ]  # fmt: skip
    assert [(each["hub"], each.get("weight")) for each in rows["test"]] == [("c/d", None), ("e/f", None)]
    assert (rows.get("take"), rows["seed"]) == (None, 42)
    (tmp_path / "page.yaml").write_text(imported(YAMLS["2025/dpo/apo.yaml"])[0])
    rows = page.read(tmp_path / "page.yaml")[0]["preferences"]["SmolLM3-3B-apo-pairs"]
    assert ([each["weight"] for each in rows["sources"]], rows["take"], rows["seed"]) == ([0.5, 0.25], "shuffled", 0)


def test_what_an_adapter_and_four_bits_are_is_carried_over_where_there_are_any(tmp_path):
    said = "model_name_or_path: a/b\nlearning_rate: 1e-5\ndataset_name: c/d\nuse_rslora: true\nuse_dora: true\nbnb_4bit_quant_type: fp4\n"
    for name, more in (("lora", "use_peft: true\n"), ("qlora", "load_in_4bit: true\n"), ("whole", "")):
        (tmp_path / f"{name}.yaml").write_text(said + more)
        (tmp_path / "page.yaml").write_text(imported(tmp_path / f"{name}.yaml")[0])
        model = page.read(tmp_path / "page.yaml")[0]["models"][name]
        peft, bits = model.get("peft", {}), model.get("quantization", {})
        assert (peft.get("use_rslora", False), peft.get("use_dora", False)) == ((name != "whole",) * 2)
        assert bits.get("bnb_4bit_quant_type") == ("fp4" if name == "qlora" else None)


@pytest.mark.parametrize("yaml", YAMLS)
def test_a_page_whose_base_is_an_adapter_is_told_to_name_another(yaml):
    _, made = imported(YAMLS[yaml])
    adapters = [said for said in made.unknown if said.startswith("base: ") and "is an adapter alone" in said]
    assert len(adapters) == (yaml in ("2023/dpo/lora.yaml", "2024/dpo/qlora.yaml"))


# Keys that say nothing, or only whether others are read.
SILENT = {"do_eval", "max_steps", "model_revision", "use_peft", "save_strategy", "eval_strategy", "bf16"}


@pytest.mark.parametrize("yaml", YAMLS)
def test_no_key_of_a_yaml_is_passed_over(yaml):
    text, made = imported(YAMLS[yaml])
    notes = "\n".join([text, *made.renamed, *made.left, *made.unknown])
    said = {key for key, value in page.read(YAMLS[yaml])[0].items() if value is not None} - SILENT
    assert [key for key in sorted(said) if not mentioned(key, notes)] == []


def mentioned(key: str, notes: str) -> bool:
    """Whether a key, or what is made of it, is on the page or spoken of."""
    made = {
        "gradient_accumulation_steps": "batch_size is", "dataset_mixer": "sources:", "dataset_splits": "split:",
        "dataset_configs": "subset:", "dataset_mixture": "sources:", "dataset_name": "hub:", "text_column": "columns:",
        "dataset_train_split": "split:", "evaluation_strategy": "eval_steps", "packing": "method",
    }  # fmt: skip
    return made.get(key, key) in notes


@pytest.mark.parametrize("name", ["a/b: {}", "x" * 97, "mine.json"])
def test_a_name_that_no_recipe_could_have_is_refused(name):
    with pytest.raises(Refusal, match=r"^--name: (models|preferences)\..*name"):
        keys.read(YAMLS["2025/dpo/apo.yaml"], None, name, 8, ROOT / "config/templates")


FAULTS = {
    "a recipe of ours": ("models: {}\n", {}, "1: model_name_or_path: is missing; is it a training YAML of …"),
    "no rows": ("model_name_or_path: a/b\nlearning_rate: 1\n", {}, "1: dataset_name: is missing, and so are …"),
    "a list for a mixer": ("model_name_or_path: a/b\ndataset_mixer: [c/d]\n", {}, "2: dataset_mixer: maps datasets to shares, …"),
    "fewer subsets than datasets": ("model_name_or_path: a/b\ndataset_mixer: {c/d: 1, e/f: 1, g/h: 1}\ndataset_configs: [x]\n", {}, "3: dataset_configs: is a list of a subset, or null, of each of the 3 datasets"),
    "a mixture of nothing": ("model_name_or_path: a/b\ndataset_mixture: {datasets: [{split: x}]}\n", {}, "2: dataset_mixture: is a mapping with …"),
    "a method that trains nothing": ("model_name_or_path: a/b\n", {"method": "merge"}, "--method merge: trains nothing. …"),
    "a batch of no number": ("model_name_or_path: a/b\ndataset_name: c/d\ngradient_accumulation_steps: auto\n", {}, "3: gradient_accumulation_steps: 'auto': is to be a whole number, …"),
    "a value that cannot be": ("model_name_or_path: a/b\ndataset_name: c/d\nlearning_rate: -1\n", {}, "3: models.x.train.learning_rate: -1: input should be greater than 0"),
    "no rate": ("model_name_or_path: a/b\ndataset_name: c/d\n", {}, "1: models.x.train.learning_rate: is missing"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_makes_no_recipe_is_refused_by_its_own_line(fault, tmp_path):
    text, how, says = FAULTS[fault]
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(Refusal) as refused:
        imported(tmp_path / "x.yaml", **how)
    start = says.partition("…")[0]
    assert str(refused.value).startswith(start if start.startswith("--") else f"{tmp_path}/x.yaml:{start}")


def posttrain(project: Project, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["posttrain", *words], cwd=project.root, env=clean_environment(), capture_output=True, text=True, timeout=300
    )


def test_the_command_prints_a_page_and_says_on_the_error_stream_what_became_of_the_keys(fresh):
    asked = ["import", str(YAMLS["2024/orpo/full.yaml"]), "--name", "mixtral-orpo", "--gpus", "32"]
    run = posttrain(fresh, *asked)
    assert "  mixtral-orpo:\n    method: orpo\n" in run.stdout
    assert "      batch_size: 32\n" in run.stdout
    assert "renamed: per_device_train_batch_size → train.batch_size\n" in run.stderr
    assert "left out: max_prompt_length: TRL 1.16 has it no more; " in run.stderr
    assert "not known: GPUs: 32 are taken, by which batch_size is 1 × 1 × 32; say --gpus\n" in run.stderr
    assert posttrain(fresh, *asked, "--output", "config/recipes/orpo.yaml").stdout == ""
    assert fresh.path("config/recipes/orpo.yaml").read_text() == run.stdout
    again = posttrain(fresh, *asked, "--output", "config/recipes/orpo.yaml")
    assert (again.returncode, again.stderr.splitlines()[-1]) == (1, "--output config/recipes/orpo.yaml: File exists")
    twice = posttrain(fresh, *asked, "--output", "config/recipes/again.yaml")
    assert twice.returncode == 1 and "is not kept, for no plan takes it" in twice.stderr
    assert not fresh.path("config/recipes/again.yaml").exists(), "every target would be refused for its name"
    assert posttrain(fresh, *asked[:2], "--gpus", "0").stderr == "--gpus 0: the handbook trains on GPUs; say how many\n"
