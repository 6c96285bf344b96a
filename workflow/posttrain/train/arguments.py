"""A recipe and its circumstances as TRL's arguments."""

from typing import Any

from transformers import TrainingArguments
from trl import DPOConfig, KTOConfig, RewardConfig, SFTConfig
from trl.experimental.cpo import CPOConfig
from trl.experimental.orpo import ORPOConfig

from posttrain.build import tracking
from posttrain.build.job import Job

# Fields of `train:` that are not arguments of the trainer under the same name.
OURS = {"batch_size", "dtype", "max_steps", "assistant_only_loss", "completion_only_loss", "keep_checkpoints"}


def common(job: Job) -> dict[str, Any]:
    """What every trainer is told."""
    train, runtime = job.recipe["train"], job.runtime
    said = {name: value for name, value in train.items() if name not in OURS}
    return said | {
        "output_dir": str(job.checkpoints),
        "max_steps": train["max_steps"] or -1,
        "per_device_train_batch_size": runtime["micro_batch_size"],
        "gradient_accumulation_steps": runtime["gradient_accumulation_steps"],
        "use_cpu": runtime["gpus"] == 0,
        "activation_checkpointing": runtime["activation_checkpointing"],
        "dataloader_num_workers": runtime["dataloader_num_workers"],
        "dataloader_pin_memory": runtime["gpus"] > 0,
        "logging_steps": runtime["logging_steps"],
        "logging_first_step": True,
        "log_on_each_node": False,
        "logging_nan_inf_filter": False,  # a NaN is to be seen
        "eval_strategy": "steps" if runtime["eval_steps"] else "no",
        "eval_steps": runtime["eval_steps"],
        "per_device_eval_batch_size": runtime["micro_batch_size"],
        "save_steps": runtime["save_steps"],
        "save_total_limit": 2,  # one to fall back on while the next is written
        "disable_tqdm": True,
        "report_to": "none",  # trackers are told by run.train
        "run_name": job.work.name,  # the target's, and its key
        "project": tracking.PROJECT,
    }


def sft(job: Job) -> SFTConfig:
    return SFTConfig(**common(job), dataset_kwargs={"skip_prepare_dataset": True})  # tokens are ready


def reward(job: Job) -> RewardConfig:
    return RewardConfig(**common(job))


def orpo(job: Job) -> ORPOConfig:
    return ORPOConfig(**common(job), remove_unused_columns=False)  # its collator reads the tokens' own columns


def cpo(job: Job) -> CPOConfig:
    return CPOConfig(**common(job), remove_unused_columns=False)


def simpo(job: Job) -> CPOConfig:
    return CPOConfig(**common(job), remove_unused_columns=False, loss_type="simpo")


def dpo(job: Job) -> DPOConfig:
    losses = job.recipe["train"]["loss_type"]
    said = common(job) | {"loss_type": [losses] if isinstance(losses, str) else losses}
    return DPOConfig(**said, precompute_ref_log_probs=True)  # they are ready


def kto(job: Job) -> KTOConfig:
    return KTOConfig(**common(job), precompute_ref_log_probs=True)


def reference(job: Job) -> TrainingArguments:
    """What a model is opened and launched by whose log-probs are only read."""
    return TrainingArguments(
        output_dir=str(job.checkpoints), use_cpu=job.runtime["gpus"] == 0, bf16=job.recipe["train"]["bf16"]
    )
