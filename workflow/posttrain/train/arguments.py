"""A recipe and its circumstances as TRL's arguments."""

from typing import Any

from transformers import TrainingArguments
from trl import DPOConfig, KTOConfig, RewardConfig, SFTConfig
from trl.experimental.cpo import CPOConfig
from trl.experimental.orpo import ORPOConfig

from posttrain.build import tracking
from posttrain.build.job import Job
from posttrain.build.processes import needs
from posttrain.train import extensions

# Fields of `train:` that are not arguments of the trainer under the same name.
OURS = {"batch_size", "dtype", "max_steps", "assistant_only_loss", "completion_only_loss", "keep_checkpoints"}


def common(job: Job) -> dict[str, Any]:
    """What every trainer is told."""
    train, runtime = job.recipe["train"], job.runtime
    if "bnb" in train["optim"] or "paged" in train["optim"]:
        needs("bitsandbytes", f"train.optim: {train['optim']}", "-e '.[quantization]'")
    said = {name: value for name, value in train.items() if name not in OURS}
    return said | {
        "output_dir": str(job.checkpoints),
        "max_steps": train["max_steps"] or -1,
        "per_device_train_batch_size": runtime["micro_batch_size"],
        "gradient_accumulation_steps": runtime["gradient_accumulation_steps"],
        "use_cpu": runtime["gpus"] == 0,
        "ddp_timeout": runtime["ddp_timeout"],
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


def made(kind: type[TrainingArguments], job: Job, **said: Any) -> Any:
    """Arguments by which ZeRO calculates as one process does.

    By transformers' own, DeepSpeed holds all weights in bfloat16 if they are only calculated with in it, beside copies
    in float32 that are not saved, and trains as float32 what is to be bfloat16 throughout.
    """
    train = job.recipe["train"]
    if not job.runtime["launch"].startswith("zero"):
        return kind(**said)
    extensions.outlive_kills()
    halves = train["dtype"] == "bfloat16"
    # An adapter is learnt in float32 beside any base, and of what is only asked DeepSpeed keeps no copies.
    learnt = halves and not job.recipe.get("peft") and kind is not TrainingArguments
    args = kind(**said | {"bf16": halves})
    args.deepspeed_plugin.deepspeed_config |= {
        "bf16": {"enabled": halves, "bf16_master_weights_and_grads": learnt, "bf16_optimizer_states": learnt},
        # Of no modules: DeepSpeed would add up their gradients in bfloat16.
        "torch_autocast": {"enabled": train["bf16"], "dtype": "bfloat16", "lower_precision_safe_modules": []},
    }
    args.deepspeed_plugin.set_deepspeed_weakref()  # by which ZeRO-3 opens a model
    return args


def sft(job: Job) -> SFTConfig:
    return made(SFTConfig, job, **common(job), dataset_kwargs={"skip_prepare_dataset": True})  # tokens are ready


def reward(job: Job) -> RewardConfig:
    return made(RewardConfig, job, **common(job))


def orpo(job: Job) -> ORPOConfig:
    return made(ORPOConfig, job, **common(job), remove_unused_columns=False)  # its collator reads the tokens' columns


def cpo(job: Job) -> CPOConfig:
    return made(CPOConfig, job, **common(job), remove_unused_columns=False)


def simpo(job: Job) -> CPOConfig:
    return made(CPOConfig, job, **common(job), remove_unused_columns=False, loss_type="simpo")


def dpo(job: Job) -> DPOConfig:
    losses = job.recipe["train"]["loss_type"]
    said = common(job) | {"loss_type": [losses] if isinstance(losses, str) else losses}
    return made(DPOConfig, job, **said, precompute_ref_log_probs=True)  # they are ready


def kto(job: Job) -> KTOConfig:
    return made(KTOConfig, job, **common(job), precompute_ref_log_probs=True)


def reference(job: Job) -> TrainingArguments:
    """What a model is opened and launched by whose log-probs are only read."""
    runtime = job.runtime
    said = {"use_cpu": runtime["gpus"] == 0, "ddp_timeout": runtime["ddp_timeout"], "bf16": job.recipe["train"]["bf16"]}
    return made(TrainingArguments, job, **said, output_dir=str(job.checkpoints))
