"""Builds against plain TRL scripts that do the same jobs, one thread a process, taking turns.

    python tests/benchmarks/against_trl.py [--only throughput scan start_up]

- throughput: seconds of `trainer.train()` for three epochs of the same short rows, the least of three turns; their
  ratio is that of tokens/s. *same* is padded and batched as TRL's default is, goal ≥ 1.0 of it; *packed* fills rows of
  max_length, goal ≥ 1.3. (Of one epoch alone, the first use of each page of memory is several hundredths, and on a
  virtual machine more for whoever's pages its host has to find.)
- scan: four values of DPO's beta, three epochs each. The whole build, tokens and reference included, against four
  scripts with a live reference: wall time, goal ≤ 0.85 of theirs, and the peak memory of a training.
- start_up: a job of one step on 50 000 conversations, its tokens ready, against the script that prepares them.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import WORDS, Project, checkout, clean_environment, write_lines
from posttrain.files import read_json

PAGE = """\
data:
  rows: {sources: [{path: rows.jsonl}]}
preferences:
  pairs: {sources: [{path: pairs.jsonl}]}
models:
  base:
    method: init
    architecture: {model_type: llama, hidden_size: 256, intermediate_size: 704, num_hidden_layers: 8, num_attention_heads: 4, max_position_embeddings: 1024, tie_word_embeddings: true}
    template: bytes
  sft:
    method: sft
    base: base
    data: rows
    train: {learning_rate: 1e-4, batch_size: 8, num_train_epochs: 3, max_length: 512, bf16: false, seed: 1}
    runtime: {save_steps: 10000, logging_steps: 10}
  packed:
    extends: sft
    train: {packing: true, batch_size: 2}
  step:
    extends: sft
    train: {max_steps: 1}
  dpo:
    method: dpo
    base: base
    preferences: pairs
    train: {learning_rate: 1e-5, batch_size: 8, num_train_epochs: 3, max_length: 512, bf16: false, seed: 1}
    runtime: {save_steps: 10000, logging_steps: 10}
"""  # noqa: E501
BETAS = (0.05, 0.1, 0.2, 0.4)
PLAIN = """\
import json, sys

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from posttrain.train.run import peak_memory

method, base, tokenizer, rows, out, attention, said = sys.argv[1:]
Config, Trainer = {"sft": (SFTConfig, SFTTrainer), "dpo": (DPOConfig, DPOTrainer)}[method]
default = {
    "per_device_train_batch_size": 8, "max_length": 512, "seed": 1, "bf16": False, "use_cpu": True,
    "activation_checkpointing": False, "dataloader_pin_memory": False, "logging_steps": 10, "save_strategy": "no",
    "disable_tqdm": True, "report_to": "none",
}
trainer = Trainer(
    model=AutoModelForCausalLM.from_pretrained(base, dtype="float32", attn_implementation=attention),
    args=Config(output_dir=out, **default | json.loads(said)),
    train_dataset=load_dataset("json", data_files=rows, split="train"),
    processing_class=AutoTokenizer.from_pretrained(tokenizer),
)
seconds = trainer.train().metrics["train_runtime"]
trainer.save_model(out)
print(json.dumps({"seconds": seconds, "peak": peak_memory(trainer.accelerator), "steps": trainer.state.global_step}))
"""


class Bench:
    """A checkout whose base is made, and the plain script beside it."""

    def __init__(self, root: Path, rows: list[dict], pairs: list[dict], page: str = PAGE) -> None:
        self.project: Project = checkout(root, page)
        write_lines(root / "rows.jsonl", rows)
        write_lines(root / "pairs.jsonl", pairs)
        (root / "plain.py").write_text(PLAIN)
        self.project.make("models/base")
        (self.tokenizer,) = [path for path in self.project.targets() if path.startswith("tokenizers/")]

    def build(self, *targets: str) -> None:
        self.project.make(*targets, "--cores", "1", timeout=None)

    def again(self, target: str) -> dict:
        """A target built anew on inputs that are ready; what its run record measured."""
        self.project.forget(target)
        self.build(target)
        return self.metrics(target)

    def metrics(self, target: str) -> dict:
        return read_json(self.project.path(f"{target}.run.json"))["metrics"]

    def tokens(self, target: str) -> int:
        """Of all rows that a model was trained on once."""
        return self.metrics(self.project.targets()[target]["inputs"]["tokens"])["tokens"]

    def plain(self, method: str, rows: str, attention: str = "sdpa", **said: object) -> dict:
        words = [sys.executable, "plain.py", method, "models/base", self.tokenizer, rows]
        with tempfile.TemporaryDirectory() as folder:  # nothing that TRL has prepared is found by the next
            done = subprocess.run(
                [*words, f"{folder}/out", attention, json.dumps(said)],
                cwd=self.project.root,
                env=clean_environment() | {"HF_HOME": folder, "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


def conversations(count: int) -> list[dict]:
    """Short ones, as chats are: half of them below 60 bytes, a few of several hundred."""
    draw = random.Random(0)

    def turn(role: str, most: int) -> dict:
        words = min(most, 1 + int(draw.lognormvariate(1.5, 0.8)))
        return {"role": role, "content": " ".join(draw.choices(WORDS, k=words))}

    return [{"messages": [turn("user", 60), turn("assistant", 60)]} for _ in range(count)]


def pairs(count: int) -> list[dict]:
    drawn = zip(conversations(count), conversations(2 * count)[count:], strict=True)
    return [
        {"prompt": [a["messages"][0]], "chosen": [a["messages"][1]], "rejected": [b["messages"][1]]} for a, b in drawn
    ]


def clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def throughput(root: Path) -> None:
    bench = Bench(root, conversations(320), pairs(8))
    bench.build("models/sft", "models/packed")
    found: dict[str, list[float]] = {"same": [], "packed": [], "TRL": []}
    for _ in range(3):
        found["TRL"].append(bench.plain("sft", "rows.jsonl", learning_rate=1e-4, num_train_epochs=3)["seconds"])
        for way, target in (("same", "models/sft"), ("packed", "models/packed")):
            found[way].append(bench.again(target)["train"]["train_runtime"])
        print({way: f"{seconds[-1]:.1f} s" for way, seconds in found.items()}, flush=True)
    tokens = 3 * bench.tokens("models/sft")
    for way, seconds in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["TRL"], seconds, strict=True))
        best = min(seconds)  # what else the machine does only ever adds to it
        print(f"{way}: {best:.1f} s, {tokens / best:.0f} tokens/s, × {min(found['TRL']) / best:.2f} of TRL's", end="; ")
        print(f"median of the turns' ratios {ratio:.2f}")


def scan(root: Path) -> None:
    bench = Bench(root, conversations(8), pairs(300))
    models = "".join(f"  beta-{beta}:\n    extends: dpo\n    train: {{beta: {beta}}}\n" for beta in BETAS)
    bench.project.path("config/recipes/scan.yaml").write_text(f"models:\n{models}")
    targets = [f"models/beta-{beta}" for beta in BETAS]
    ours = clock(lambda: bench.build(*targets))
    said = {"learning_rate": 1e-5, "num_train_epochs": 3}
    live: list[dict] = []
    theirs = clock(lambda: live.extend(bench.plain("dpo", "pairs.jsonl", beta=beta, **said) for beta in BETAS))
    records = [bench.metrics(target) for target in targets]
    trained = [sum(metrics["train"]["train_runtime"] for metrics in records), sum(run["seconds"] for run in live)]
    print(f"wall: build {ours:.0f} s, scripts {theirs:.0f} s, × {ours / theirs:.2f}")
    print(f"in training: build {trained[0]:.0f} s, scripts {trained[1]:.0f} s, × {trained[0] / trained[1]:.2f}")
    peaks = [max(metrics["peak_memory_bytes"] for metrics in records), max(run["peak"] for run in live)]
    print(f"peak memory: build {peaks[0] / 1e6:.0f} MB, scripts {peaks[1] / 1e6:.0f} MB, × {peaks[0] / peaks[1]:.2f}")


def start_up(root: Path) -> None:
    bench = Bench(root, conversations(50_000), pairs(8))
    first = clock(lambda: bench.build("models/step"))
    ours, theirs = [], []
    for _ in range(3):
        bench.project.forget("models/step")
        ours.append(clock(lambda: bench.build("models/step")))
        theirs.append(clock(lambda: bench.plain("sft", "rows.jsonl", max_steps=1)))
    middles = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"a job of one step: build {middles[0]:.1f} s, script {middles[1]:.1f} s, × {ratio:.2f}")
    print(f"the first build, its rows, tokens and all: {first:.1f} s")


PARTS = {"throughput": throughput, "scan": scan, "start_up": start_up}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    for part in parser.parse_args().only:
        print(f"{part}; load {os.getloadavg()[0]:.1f} at the start, on {os.cpu_count()} cores", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder, "p"))


if __name__ == "__main__":
    main()
