"""How a model is trained: the `train:` sections, which say what it is.

Field names are those of TRL 1.16 and transformers 5.23.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, NotNegative, Positive, Share

Smoothing = Annotated[float, Field(ge=0, lt=0.5)]

# TRL 1.16's losses of DPO; `sft` is the chosen answer's own loss, to be added to one of the others.
DPOLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sigmoid_norm", "sft",
]  # fmt: skip
SORTING = ("aot", "aot_unpaired")  # losses that sort the rows of a micro-batch: its size is part of what they are
SMOOTHED = ("exo_pair", "robust", *SORTING)  # losses that read label_smoothing; TRL 1.16 ignores it in the others

BITSANDBYTES = ("adamw_bnb_8bit", "paged_adamw_32bit")  # optimizers of that package; its CPU's do not page
ADAM = ("adam_beta1", "adam_beta2", "adam_epsilon")  # what rmsprop does not read


class SchedulerKwargs(Entry):
    min_lr_rate: Share = Field(description="where cosine_with_min_lr ends, as a share of learning_rate")


class Train(Entry):
    """What every trained model says of its training."""

    learning_rate: Positive = Field(description="peak learning rate")
    batch_size: Count = Field(description="sequences an optimizer step sees, over all processes; accumulation follows")
    num_train_epochs: Positive = Field(1, description="passes over the rows")
    max_steps: Count | None = Field(None, description="optimizer steps; overrides num_train_epochs")
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_min_lr", "inverse_sqrt", "constant", "constant_with_warmup"
    ] = Field("linear", description="how the rate goes on after its warm-up")
    lr_scheduler_kwargs: SchedulerKwargs | None = Field(None, description="what cosine_with_min_lr is told")
    warmup_steps: NotNegative = Field(0, description="steps, or a share of all steps if below 1")
    weight_decay: NotNegative = Field(0, description="by which weights shrink, beside the gradient's step")
    adam_beta1: Share = Field(0.9, description="how slowly Adam forgets the gradients' mean")
    adam_beta2: Share = Field(0.999, description="how slowly it forgets the mean of their squares")
    adam_epsilon: Positive = Field(1e-8, description="what is added to the root of that")
    max_grad_norm: NotNegative = Field(1, description="the norm that a step's gradient is cut to; 0 cuts nothing")
    optim: Literal["adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "paged_adamw_32bit", "rmsprop"] = Field(
        "adamw_torch_fused", description="the optimizer; those in eight bits or pages are bitsandbytes'"
    )
    seed: int = Field(42, ge=0, lt=1 << 32, description="seed of row order, dropout and new weights")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="the weights' type; of adapters float32")
    bf16: bool = Field(True, description="compute in bfloat16 (autocast)")
    keep_checkpoints: int = Field(0, ge=0, description="evenly spaced steps whose weights are kept, the end the last")

    @property
    def couples_rows(self) -> bool:
        """Whether a row's loss hangs on the rows beside it: then the micro-batch is part of what a model is."""
        return False

    @model_validator(mode="after")
    def warmup_is_whole_or_a_share(self) -> "Train":
        if self.warmup_steps >= 1 and self.warmup_steps != int(self.warmup_steps):
            raise ValueError(f"warmup_steps {self.warmup_steps} is neither a whole number nor a share below 1")
        return self

    @model_validator(mode="after")
    def warms_up_before_the_end(self) -> "Train":
        if self.max_steps is not None and self.warmup_steps > self.max_steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps:g} are more than max_steps {self.max_steps}: learning_rate would "
                "never be reached"
            )
        return self

    @model_validator(mode="after")
    def ends_where_it_says(self) -> "Train":
        floored = self.lr_scheduler_type == "cosine_with_min_lr"
        if floored and not self.lr_scheduler_kwargs:
            raise ValueError(
                "lr_scheduler_kwargs are missing: say where cosine_with_min_lr ends, as {min_lr_rate: 0.1}"
            )
        if self.lr_scheduler_kwargs and not floored:
            raise ValueError(f"lr_scheduler_kwargs are read by cosine_with_min_lr, and not by {self.lr_scheduler_type}")
        return self

    @model_validator(mode="after")
    def tells_adam_of_adam(self) -> "Train":
        if self.optim == "rmsprop" and (said := self.model_fields_set.intersection(ADAM)):
            raise ValueError(f"{min(said)} is not read by optim rmsprop; leave it out")
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
    completion_only_loss: bool = Field(False, description="learn the last turn only, which is the assistant's")
    packing: bool = Field(False, description="put several conversations in a row of max_length tokens")
    packing_strategy: Literal["bfd", "wrapped"] = Field(
        "bfd", description="`bfd` keeps conversations apart; `wrapped` fills every row, and cuts them where one ends"
    )

    @model_validator(mode="after")
    def packs_what_it_says_how_to_pack(self) -> "SFTTrain":
        if "packing_strategy" in self.model_fields_set and not self.packing:
            raise ValueError("packing_strategy says how rows are packed, and they are not; say `packing: true`")
        return self


class RewardTrain(Train):
    max_length: Count = Field(1024, description="tokens a conversation may have; a pair with a longer one is left out")
    center_rewards_coefficient: NotNegative | None = Field(
        None, description="weight of the squared sum of a pair's rewards, which holds them around zero"
    )


class PairsTrain(Train):
    max_length: Count = Field(1024, description="tokens a prompt and its answer are cut to")


class ORPOTrain(PairsTrain):
    beta: Positive = Field(0.1, description="weight of the odds ratio beside the chosen answer's own loss")


class CPOTrain(PairsTrain):
    loss_type: Literal["sigmoid", "hinge", "ipo"] = Field("sigmoid", description="the loss of a pair")
    beta: Positive = Field(0.1, description="how hard a pair's log-probs are told apart")
    label_smoothing: Smoothing = Field(0, description="share of the pairs that are held to be swapped")
    cpo_alpha: NotNegative = Field(1, description="weight of the chosen answer's own loss")

    @model_validator(mode="after")
    def smooths_what_is_smooth(self) -> "CPOTrain":
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError(f"label_smoothing is not read by loss_type {self.loss_type}; leave it out")
        return self


class SimPOTrain(PairsTrain):
    beta: Positive = Field(2, description="how hard a pair's log-probs a token are told apart")
    simpo_gamma: NotNegative = Field(0.5, description="by how much the chosen answer's reward is to be the higher")
    label_smoothing: Smoothing = Field(0, description="share of the pairs that are held to be swapped")
    cpo_alpha: NotNegative = Field(0, description="weight of the chosen answer's own loss")


class KTOTrain(PairsTrain):
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field("kto", description="the loss of an answer")
    beta: Positive = Field(0.1, description="how hard the policy is held to the reference")
    desirable_weight: Positive = Field(1, description="weight of an answer that is wanted")
    undesirable_weight: Positive = Field(1, description="weight of one that is not")

    @property
    def couples_rows(self) -> bool:
        """Whether a row's loss hangs on the rows beside it: KTO's KL is a mean over them."""
        return self.loss_type == "kto"


class DPOTrain(PairsTrain):
    loss_type: DPOLoss | list[DPOLoss] = Field("sigmoid", description="one loss, or several to add up")
    loss_weights: list[Positive] | None = Field(None, description="one weight a loss; all 1 if unsaid")
    beta: Positive = Field(0.1, description="how hard the policy is held to the reference")
    label_smoothing: Smoothing = Field(0, description="share of the pairs that are held to be swapped")
    ld_alpha: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="weight of the tokens by which an answer is the longer one (LD-DPO, arXiv 2409.06411)"
    )
    use_weighting: bool = Field(
        False, description="weigh a pair by how likely the policy finds it (WPO, arXiv 2406.11827)"
    )
    discopop_tau: Positive = Field(0.05, description="temperature of the loss discopop")

    @property
    def loss_types(self) -> list[str]:
        return [self.loss_type] if isinstance(self.loss_type, str) else self.loss_type

    @property
    def couples_rows(self) -> bool:
        """Whether a row's loss hangs on the rows beside it in its micro-batch."""
        return not set(SORTING).isdisjoint(self.loss_types)

    @model_validator(mode="after")
    def losses_fit(self) -> "DPOTrain":
        if len(set(self.loss_types)) != len(self.loss_types):
            raise ValueError(f"loss_type {self.loss_type} names a loss twice")
        if set(self.loss_types) <= {"sft"}:
            raise ValueError(f"loss_type {self.loss_type} has no preference loss (sigmoid, ipo, apo_zero, …)")
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_types):
            raise ValueError(
                f"loss_weights are {len(self.loss_weights)} for {len(self.loss_types)} losses; give one a loss"
            )
        return self

    @model_validator(mode="after")
    def options_are_read(self) -> "DPOTrain":
        """TRL takes an option that no loss reads without a word."""
        losses = set(self.loss_types)
        if "exo_pair" in losses and not self.label_smoothing:
            raise ValueError("label_smoothing is 0, and exo_pair needs more; its paper takes 1e-3")
        if self.label_smoothing and losses.isdisjoint(SMOOTHED):
            raise ValueError(f"label_smoothing is read by {', '.join(SMOOTHED)} alone; sigmoid with it is robust")
        if self.use_weighting and not losses.isdisjoint(("sft", *SORTING)):
            raise ValueError("use_weighting fails in TRL 1.16 beside sft, aot and aot_unpaired; leave it or them out")
        if self.discopop_tau != 0.05 and "discopop" not in losses:
            raise ValueError("discopop_tau is read by the loss discopop alone")
        return self
