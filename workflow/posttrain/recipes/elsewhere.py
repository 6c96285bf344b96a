"""What TRL, transformers and the Alignment Handbook call what a recipe says otherwise, or has no need to say.

A refusal answers by it, and `posttrain import` reads by it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TRL_FIELDS = Path(__file__).with_name("trl_fields.json")  # written by tests/generate.py


@dataclass(frozen=True)
class Elsewhere:
    """Where a recipe says what others say by a key: its dotted path, or nowhere; and why."""

    said: str | None
    why: str = ""

    def __str__(self) -> str:
        if not self.said:
            return self.why
        return f"here it is {self.said}{', ' if self.why else ''}{self.why}"


ROWS = Elsewhere(None, "rows are sets of their own: name one in `data` or `preferences`")
BATCH = "the sequences of an optimizer step: per device × accumulation × processes"
CUT = "TRL 1.16 has it no more; train.max_length is of a prompt and its answer together"
NAMED = "a model is called what its entry is called"
PINNED = "a hub id says it, as org/name@revision, and `posttrain lock` its commit"
PUBLISHED = "a build publishes nothing"
RESUMED = "a build goes on from its own checkpoint, and from no other"
KEPT = "a build keeps what a resume needs, while it needs it; train.keep_checkpoints keeps weights"
LOGGED = "runtime.logging_steps and runtime.tracking say what is to be seen"
REFERENCE = "what a policy is held to is the base, whose log-probs are a target of their own"
EVALUATED = Elsewhere("runtime.eval_steps", "the steps between losses on the rows' test split")
RECOMPUTED = Elsewhere("runtime.activation_checkpointing")
LAUNCHED = Elsewhere("runtime.launch", "single, ddp, zero2, zero3 or fsdp")
ALWAYS = "it is always so: a step is the same for any number of processes"

OTHERWISE = {
    # batches and lengths
    "per_device_train_batch_size": Elsewhere("train.batch_size", f"{BATCH}; runtime.micro_batch_size is per device"),
    "gradient_accumulation_steps": Elsewhere("train.batch_size", f"{BATCH}; accumulation follows from it"),
    "global_batch_size": Elsewhere("train.batch_size"),
    "per_device_eval_batch_size": Elsewhere(None, "losses on the test split are taken by runtime.micro_batch_size"),
    "max_seq_length": Elsewhere("train.max_length"),
    "max_prompt_length": Elsewhere(None, CUT),
    "max_completion_length": Elsewhere(None, CUT),
    "truncation_mode": Elsewhere(None, "what is too long is cut at its end"),
    "truncation_side": Elsewhere(None, "what is too long is cut at its end"),
    "padding_free": Elsewhere(None, "TRL 1.16's DPO switches it off; in sft `packing: true` wastes no padding"),
    "eval_packing": Elsewhere(None, "rows to evaluate on are packed as those to train on"),
    # time
    "lr": Elsewhere("train.learning_rate"),
    "epochs": Elsewhere("train.num_train_epochs"),
    "warmup_ratio": Elsewhere("train.warmup_steps", "a share of all steps if below 1"),
    "data_seed": Elsewhere(None, "train.seed draws the order of rows too"),
    "group_by_length": Elsewhere(None, "rows come in an order that train.seed draws"),
    "train_sampling_strategy": Elsewhere(None, "rows come in an order that train.seed draws"),
    "average_tokens_across_devices": Elsewhere(None, ALWAYS),
    # weights
    "model_name_or_path": Elsewhere("base", "a hub id or another model's name"),
    "model_revision": Elsewhere(None, PINNED),
    "base_model_revision": Elsewhere(None, PINNED),
    "model_code_revision": Elsewhere(None, PINNED),
    "torch_dtype": Elsewhere("train.dtype", "the type that weights are trained in"),
    "fp16": Elsewhere(None, "say `bf16: true`, or `bf16: false` to compute in float32"),
    "tf32": Elsewhere(None, "matrices are multiplied in bfloat16 where `bf16: true` is said"),
    "trust_remote_code": Elsewhere(None, "nothing that a repository holds is run"),
    "model_init_kwargs": Elsewhere(None, "train.dtype and runtime.attn_implementation are all it is told"),
    "use_peft": Elsewhere("peft"),
    "lora_r": Elsewhere("peft.r"),
    "lora_alpha": Elsewhere("peft.lora_alpha"),
    "lora_dropout": Elsewhere("peft.lora_dropout"),
    "lora_target_modules": Elsewhere("peft.target_modules"),
    "use_rslora": Elsewhere("peft.use_rslora"),
    "use_dora": Elsewhere("peft.use_dora"),
    "lora_task_type": Elsewhere(None, "the method says it"),
    "lora_modules_to_save": Elsewhere(None, "an adapter is its own matrices; a reward model's has its head too"),
    "load_in_4bit": Elsewhere("quantization.load_in_4bit"),
    "load_in_8bit": Elsewhere(None, "four bits are what a base can be held in: `quantization: {load_in_4bit: true}`"),
    "bnb_4bit_quant_type": Elsewhere("quantization.bnb_4bit_quant_type"),
    "use_bnb_nested_quant": Elsewhere("quantization.bnb_4bit_use_double_quant"),
    "bnb_4bit_quant_storage": Elsewhere(None, "each process holds a base in four bits whole"),
    # tokens
    "tokenizer_name_or_path": Elsewhere(
        None, "the tokenizer is the base's; `template`, `added_tokens` and `eos_token` say what it is to have besides"
    ),
    "chat_template": Elsewhere("template", "the name of config/templates/<name>.jinja"),
    "chat_template_path": Elsewhere("template", "the name of config/templates/<name>.jinja"),
    "auto_insert_empty_system_msg": Elsewhere(None, "the template says what stands where there is no system message"),
    # rows
    "dataset_mixer": ROWS,
    "dataset_mixture": ROWS,
    "dataset_splits": ROWS,
    "dataset_configs": ROWS,
    "dataset_name": ROWS,
    "dataset_config": ROWS,
    "dataset_train_split": ROWS,
    "dataset_test_split": ROWS,
    "text_column": Elsewhere(None, "a source names its column: `columns: {theirs: text}`"),
    "dataset_text_field": Elsewhere(None, "a source names its column: `columns: {theirs: text}`"),
    "columns_to_keep": Elsewhere(None, "a source says its `columns`"),
    "dataset_kwargs": Elsewhere(None, "TRL 1.16 reads skip_prepare_dataset alone, and rows are tokenised before"),
    "shuffle_dataset": Elsewhere(None, "rows come in an order that train.seed draws"),
    "remove_unused_columns": Elsewhere(None, "tokens have no columns but those that are read"),
    "decontaminate": Elsewhere(None, "what rows leave out is said with the rows"),
    "dataset_num_proc": Elsewhere("runtime.shards", "the processes that tokenise the rows"),
    "preprocessing_num_workers": Elsewhere("runtime.shards", "the processes that tokenise the rows"),
    "precompute_ref_log_probs": Elsewhere(None, REFERENCE),
    "precompute_ref_batch_size": Elsewhere(None, REFERENCE),
    "ref_model": Elsewhere(None, REFERENCE),
    # where and how fast
    "gradient_checkpointing": RECOMPUTED,
    "gradient_checkpointing_kwargs": Elsewhere(None, "layers are recomputed without re-entrance, by any launch"),
    "use_flash_attention_2": Elsewhere("runtime.attn_implementation", "flash_attention_2"),
    "use_liger": Elsewhere("runtime.use_kernels"),
    "use_liger_kernel": Elsewhere("runtime.use_kernels"),
    "deepspeed": LAUNCHED,
    "fsdp": LAUNCHED,
    "fsdp_config": LAUNCHED,
    "num_processes": Elsewhere("runtime.gpus", "GPUs of all nodes together; runtime.processes on a CPU"),
    "num_machines": Elsewhere("runtime.nodes"),
    "use_cpu": Elsewhere(None, "`gpus: 0` trains on the CPU"),
    # what is seen, kept and published
    "do_eval": EVALUATED,
    "eval_strategy": EVALUATED,
    "evaluation_strategy": EVALUATED,
    "logging_strategy": Elsewhere("runtime.logging_steps"),
    "logging_dir": Elsewhere(None, LOGGED),
    "logging_first_step": Elsewhere(None, "the first step's loss is always logged"),
    "log_level": Elsewhere(None, LOGGED),
    "report_to": Elsewhere("runtime.tracking", "none, tensorboard, trackio or wandb"),
    "run_name": Elsewhere(None, NAMED),
    "output_dir": Elsewhere(None, NAMED),
    "overwrite_output_dir": Elsewhere(None, RESUMED),
    "resume_from_checkpoint": Elsewhere(None, RESUMED),
    "save_strategy": Elsewhere("runtime.save_steps"),
    "save_total_limit": Elsewhere(None, KEPT),
    "save_only_model": Elsewhere(None, KEPT),
    "save_safetensors": Elsewhere(None, "weights are always safetensors"),
    "enable_jit_checkpoint": Elsewhere(None, "a build that is stopped saves a checkpoint"),
    "hub_model_id": Elsewhere(None, PUBLISHED),
    "hub_model_revision": Elsewhere(None, PUBLISHED),
    "hub_private_repo": Elsewhere(None, PUBLISHED),
    "hub_revision": Elsewhere(None, PUBLISHED),
    "hub_strategy": Elsewhere(None, PUBLISHED),
    "hub_token": Elsewhere(None, "HF_TOKEN in the environment is all that a fetch reads"),
    "push_to_hub": Elsewhere(None, PUBLISHED),
    "push_to_hub_model_id": Elsewhere(None, PUBLISHED),
    "push_to_hub_revision": Elsewhere(None, PUBLISHED),
    "wandb_entity": Elsewhere(None, "W&B reads WANDB_ENTITY of the environment"),
    "wandb_project": Elsewhere(None, "runs are tracked as of one project, posttrain"),
}

# Values that others take, or once took: by key, what to say instead.
INSTEAD: dict[str, dict[Any, str]] = {
    "loss_type": {
        "kto_pair": "is gone from TRL; say `method: kto`, which learns from pairs too",
        "simpo": "is a method here: say `method: simpo`",
        "aot_pair": "is called aot_unpaired or aot by TRL 1.16",
        "nll": "is what sft always learns by; leave it out",
        "dft": "is not offered",
    },
    "packing_strategy": {
        "ffd": "is gone from TRL; say bfd",
        "bfd_split": "is not offered; bfd cuts off what is longer than max_length, wrapped goes on in the next row",
    },
    "optim": {
        "adamw_hf": "is gone from transformers; say adamw_torch",
        "adamw_8bit": "is adamw_bnb_8bit by another name; say that",
        "paged_adamw": "is paged_adamw_32bit by another name; say that",
    },
    "dtype": {
        "auto": "hangs on the base; say float32 or bfloat16",
        "float16": "is not offered; say float32 or bfloat16",
        "bf16": "is called bfloat16",
        "fp32": "is called float32",
    },
    "launch": {
        "deepspeed_zero2": "is called zero2",
        "deepspeed_zero3": "is called zero3",
        "multi_gpu": "is called ddp",
        "fsdp_qlora": "is `launch: fsdp` with `offload: all`",
    },
    "attn_implementation": {"flash_attention_3": "is not offered; flash_attention_2 is"},
    "max_steps": {-1: "means nothing here; leave max_steps out, and num_train_epochs says how long"},
    "max_length": {None: "cuts nothing; say the tokens that a row may have"},
    "load_in_4bit": {False: "is what it is without `quantization`; leave that out"},
}


@cache
def trl_fields() -> dict[str, dict]:
    """The fields of TRL's configs: by config its own, and under TrainingArguments what they share."""
    return json.loads(TRL_FIELDS.read_text())


def is_trls(name: str) -> bool:
    return any(name in fields for fields in trl_fields()["configs"].values())
