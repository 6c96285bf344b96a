"""How a model is trained: the `train:` sections, which say what it is.

Field names are those of TRL 1.16 and transformers 5.23.
"""

from typing import Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, NotNegative, Positive

PREFERENCE_LOSSES = ("sigmoid", "hinge", "ipo", "apo_zero")
DPOLoss = Literal["sigmoid", "hinge", "ipo", "apo_zero", "sft"]


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
    keep_checkpoints: int = Field(0, ge=0, description="evenly spaced steps whose weights are kept, the end the last")

    @model_validator(mode="after")
    def warmup_is_whole_or_a_share(self) -> "Train":
        if self.warmup_steps >= 1 and self.warmup_steps != int(self.warmup_steps):
            raise ValueError(f"warmup_steps {self.warmup_steps} is neither a whole number nor a share below 1")
        return self

    @model_validator(mode="after")
    def keeps_no_more_than_there_are(self) -> "Train":
        if self.max_steps is not None and self.keep_checkpoints > self.max_steps:
            raise ValueError(f"keep_checkpoints {self.keep_checkpoints} are more than max_steps {self.max_steps}")
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
