"""Means of models, tensor by tensor: of checkpoints of one training, or of several models by weight."""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoTokenizer

from posttrain.checkpoints import config_of
from posttrain.files import Refusal
from posttrain.train import saving

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # which file each tensor is in, where there are several
# What a configuration says that changes nothing of what a model computes, as does what transformers does not know.
APART = {"_name_or_path", "transformers_version", "dtype", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id"}


@dataclass(frozen=True)
class Part:
    """One of the models that a mean is of."""

    folder: Path
    weight: float = 1

    @cached_property
    def files(self) -> dict[str, Path]:
        """The file of each tensor."""
        if (index := self.folder / INDEX).exists():
            return {name: self.folder / file for name, file in json.loads(index.read_text())["weight_map"].items()}
        if not (whole := self.folder / WEIGHTS).exists():
            raise Refusal(f"{self.folder} is no whole model: it has neither {WEIGHTS} nor {INDEX}")
        with safe_open(whole, "pt") as file:
            return dict.fromkeys(file.keys(), whole)

    def tensor(self, name: str) -> torch.Tensor:
        with safe_open(self.files[name], "pt") as file:
            return file.get_tensor(name)

    def shape(self, name: str) -> list[int]:
        with safe_open(self.files[name], "pt") as file:
            return file.get_slice(name).get_shape()


def average(parts: list[Part], out: Path) -> None:
    """Write the weighted mean of some models, and prove it. Dtype, configuration and tokenizer are the first's."""
    first, *others = parts
    for other in others:
        check_architecture(first, other)
    for path in first.folder.iterdir():
        if path.is_file() and path.suffix != ".safetensors":
            shutil.copyfile(path, out / path.name)
    for file in sorted(set(first.files.values())):  # no more than one of its files is in memory
        held = [name for name, place in first.files.items() if place == file]
        save_file({name: mean(parts, name) for name in held}, out / file.name, {"format": "pt"})
    prove(parts, out)


def mean(parts: list[Part], name: str) -> torch.Tensor:
    """The mean of one tensor, summed in float64 so that it is rounded once: that of equal ones is equal to them."""
    first = parts[0].tensor(name)
    if not first.is_floating_point():
        for part in parts[1:]:
            if not torch.equal(first, part.tensor(name)):
                raise Refusal(
                    f"{name} is not the same in {parts[0].folder} and {part.folder}, and whole numbers have no mean"
                )
        return first
    total = sum(part.weight * part.tensor(name).double() for part in parts)
    return (total / sum(part.weight for part in parts)).to(first.dtype)


def prove(parts: list[Part], out: Path) -> None:
    """Open what was saved. Raises: Refusal, unless each value is finite and between those that it is the mean of."""
    saving.sound(out)
    made = Part(out)
    for name in made.files:
        found = made.tensor(name)
        low = high = parts[0].tensor(name)
        for part in parts[1:]:
            tensor = part.tensor(name).to(found.dtype)  # rounding keeps the order
            low, high = torch.minimum(low, tensor), torch.maximum(high, tensor)
        if not ((low <= found) & (found <= high)).all():
            raise Refusal(f"the saved mean is broken: {name} lies outside of what it is the mean of")


def check_architecture(one: Part, other: Part) -> None:
    """Raises: Refusal, naming the first tensor that only one of two models has or that has another shape in each, or
    the first field of their configurations that differs: heads and rotations are in no shape.
    """
    unlike = f"{one.folder} and {other.folder} are not of one architecture"
    if odd := set(one.files) ^ set(other.files):
        raise Refusal(f"{unlike}: only one of them has {min(odd)}")
    for name in sorted(one.files):
        if (shape := one.shape(name)) != (another := other.shape(name)):
            raise Refusal(f"{unlike}: {name} is {shape} in the one and {another} in the other")
    said, another = (config_of(part.folder).to_dict() for part in (one, other))
    for field in ("model_type", *sorted(AutoConfig.for_model(said["model_type"]).to_dict().keys() - APART)):
        if said.get(field) != another.get(field):
            raise Refusal(
                f"{unlike}: {field} is {said.get(field)!r} in the one and {another.get(field)!r} in the other"
            )


def check_vocabulary(one: Part, other: Part) -> None:
    """Raises: Refusal, naming the first token that is another row in each of two models.

    Templates may differ, and what ends an answer: they say how a model is talked to, not what its rows mean.
    """
    known, others = (AutoTokenizer.from_pretrained(part.folder).get_vocab() for part in (one, other))
    if odd := [token for token in {**known, **others} if known.get(token) != others.get(token)]:
        token = min(odd)
        raise Refusal(
            f"{one.folder} and {other.folder} are not of one vocabulary: {token!r} is {known.get(token)} in the one "
            f"and {others.get(token)} in the other"
        )
