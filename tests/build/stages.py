"""Stages of training run in the tests' own process: one target of the micro-chain, its recipe varied at will."""

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import Trainer

from conftest import DPO, SFT, WORDS, Project
from posttrain.build.job import Job
from posttrain.data import tokens
from posttrain.recipes import methods
from posttrain.recipes.adapters import Peft, Quantization
from posttrain.train import arguments, models, run
from posttrain.train.reference import REFERENCES, asking, write
from posttrain.train.trainers import CPOTrainer, DPOTrainer, KTOTrainer, ORPOTrainer, RewardTrainer, SFTTrainer

TRAINERS = {
    "cpt": SFTTrainer,
    "sft": SFTTrainer,
    "reward": RewardTrainer,
    "dpo": DPOTrainer,
    "kto": KTOTrainer,
    "orpo": ORPOTrainer,
    "cpo": CPOTrainer,
    "simpo": CPOTrainer,
}
TUNING = {"peft": Peft, "quantization": Quantization}
LORA, NF4 = {"r": 4}, {"load_in_4bit": True}
# What is learnt, of a base in float32 unless said; the weights of the micro-chain are computed with in float32.
WEIGHTS = {
    "full": {},
    "lora": {"peft": LORA},
    "qlora": {"peft": LORA, "quantization": NF4, "train": {"bf16": True}},
    "full-bf16": {"train": {"bf16": True}},
    "full-bfloat16": {"train": {"bf16": True, "dtype": "bfloat16"}},
    "full-bfloat16-only": {"train": {"dtype": "bfloat16"}},
    "lora-bf16": {"peft": LORA, "train": {"bf16": True}},
    "lora-bfloat16": {"peft": LORA, "train": {"bf16": True, "dtype": "bfloat16"}},
}
STILL = 1e-4  # relative to the update: what rounding may change


class Stage:
    """Jobs of one target of the micro-chain, run in this process, each in a work folder of its own."""

    def __init__(self, project: Project, target: str, folder: Path) -> None:
        self.target = project.targets()[target]
        self.inputs = {role: project.path(path) for role, path in self.target["inputs"].items()}
        self.path, self.folder, self.count = target, folder, 0

    @classmethod
    def by(cls, method: str, project: Project, folder: Path) -> "Stage":
        """A stage by any method that trains, in a new folder."""
        folder.mkdir()
        return cls(project, SFT if method in ("cpt", "sft") else DPO, folder).of(method)

    def of(self, method: str) -> "Stage":
        """The same stage by another method, with that one's own fields as they are if unsaid."""
        train, fields = self.target["own"]["train"], methods.METHODS[method].model_fields["train"].annotation
        kept = {name: train[name] for name in fields.model_fields if name in train and name != "loss_type"}
        own = {"method": method, "train": fields(**kept).model_dump()}
        self.target = self.target | {"own": self.target["own"] | own}
        return self

    def job(self, micro_batch_size: int = 8, runtime: dict | None = None, **train: object) -> Job:
        self.count += 1
        own = self.target["own"]
        recipe = own | {"train": own["train"] | train}
        said = self.target["runtime"] | {"micro_batch_size": micro_batch_size, "save_steps": 100}
        said["gradient_accumulation_steps"] = recipe["train"]["batch_size"] // micro_batch_size
        work = self.folder / f"{Path(self.path).name}.{self.count}"
        (work / "files").mkdir(parents=True)
        return Job(self.path, recipe, dict(self.inputs), {}, {}, said | (runtime or {}), work)

    def tokenise(self, rows: list[dict], max_length: int = 48, test: list[dict] | None = None, **said: object) -> None:
        """Have the jobs to come learn from these rows, and be evaluated on those of `test`."""
        method = methods.METHODS[self.target["own"]["method"]].tokens
        recipe = {"method": method, "max_length": max_length, "assistant_only_loss": False, **said}
        recipe |= {"packing_strategy": "wrapped"} if method == "cpt" else {}
        folder = self.folder / f"tokens.{self.count}"
        folder.mkdir()
        for split, read in {"train": rows, "test": test or []}.items():
            if read:
                made = tokens.tokenise([read], self.inputs["tokenizer"], recipe, processes=1)
                tokens.write((table for table, _ in made), recipe, folder / f"{split}.arrow")
        self.inputs["tokens"] = folder
        self.refer()

    def refer(self, **train: object) -> None:
        """Have the jobs to come be held to the base as it is, if their method has a reference."""
        self.inputs.pop("reference", None)
        if self.target["own"]["method"] not in methods.HELD_TO_A_REFERENCE:
            return
        job = self.job(**train)
        job.recipe["ld_alpha"] = job.recipe["train"].get("ld_alpha")
        job.recipe["method"] = methods.METHODS[job.recipe["method"]].tokens
        tokenizer, args = models.open_tokenizer(job), arguments.reference(job)
        policy = models.open_base(job, tokenizer)
        reference = REFERENCES[job.recipe["method"]](policy, asking(policy, args), tokenizer, job)
        for tokens_of in self.inputs["tokens"].glob("*.arrow"):
            rows = Dataset.from_file(str(tokens_of))
            write(reference.log_probs(rows, tokens_of.stem), job.out / tokens_of.name)
        self.inputs["reference"] = job.out

    def trainer(self, job: Job, kind: type | None = None) -> Trainer:
        """The trainer as the stage's script makes it."""
        method, tokenizer = job.recipe["method"], models.open_tokenizer(job)
        args = getattr(arguments, {"cpt": "sft"}.get(method, method))(job)
        parts = {"args": args, **models.learning(job, tokenizer)}
        if method == "reward":
            parts["model"], parts["new_head"] = models.open_reward_base(job, tokenizer)
        else:
            parts["model"] = models.open_base(job, tokenizer)
        return (kind or TRAINERS[method])(**parts)

    def train(self, job: Job, **options: object) -> dict[str, torch.Tensor]:
        """The weights after training."""
        trainer = self.trainer(job, **options)
        run.train(trainer, job)
        return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}

    def base(self) -> dict[str, torch.Tensor]:
        return self.trainer(self.job()).model.state_dict()


def of_weights(stage: Stage, weights: str) -> Stage:
    """The stage with other weights to learn, by their name in WEIGHTS."""
    said = WEIGHTS[weights]
    stage.target["own"] |= {name: fields(**said[name]).model_dump() for name, fields in TUNING.items() if name in said}
    stage.target["own"]["train"] |= said.get("train", {})
    return stage


def uneven(method: str, count: int = 64) -> list[dict]:
    """Rows whose lengths differ several times over."""
    draw = random.Random(0)  # noqa: S311

    def turn(role: str, words: int) -> dict:
        return {"role": role, "content": " ".join(draw.choices(WORDS, k=words))}

    def answer(i: int) -> list[dict]:
        return [turn("assistant", 1 + i % 7)]

    if method == "cpt":
        return [{"text": " ".join(draw.choices(WORDS, k=1 + i % 7))} for i in range(count)]
    if method == "sft":
        return [{"messages": [turn("user", 1 + i % 2), *answer(i)]} for i in range(count)]
    return [{"prompt": [turn("user", 1)], "chosen": answer(i), "rejected": answer(i + 3)} for i in range(count)]


def with_dropout(stage: Stage) -> None:
    """Give the base the dropout that Llama-like models keep in their config, where TRL does not switch it off."""
    shutil.copytree(stage.inputs["base"], stage.folder / "dropping")
    stage.inputs["base"] = stage.folder / "dropping"
    path = stage.folder / "dropping/config.json"
    config = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(config | {"attention_dropout": 0.5}))


def changed(stage: Stage, copy: str, change: Callable[[str, torch.Tensor], torch.Tensor]) -> str:
    """The name of a copy of the base whose weights were changed."""
    shutil.copytree(stage.inputs["base"], stage.folder / copy)
    path = stage.folder / copy / "model.safetensors"
    weights = {name: change(name, tensor) for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(weights, path, {"format": "pt"})
    return copy


def difference(a: dict, b: dict, base: dict) -> float:
    """How far two trained models are apart, in lengths of the way that one has come."""
    apart = sum(((a[name] - b[name]).double() ** 2).sum() for name in base)
    way = sum(((a[name] - base[name]).double() ** 2).sum() for name in base)
    return math.sqrt(apart / way)


def weights(project: Project, target: str) -> dict[str, torch.Tensor]:
    return load_file(project.path(f"{target}/model.safetensors"))
