"""What the build costs around a training stage: four SFT steps of the micro-model, made three ways that take turns.

    python tests/benchmarks/stage_overhead.py [repeats]

- build: `python -m posttrain.build models/micro-sft`, its inputs ready and the store without its
  key: inputs verified, lease, launch, training, the saved model proved, sealed, digested and published;
- bare: accelerate launches a script as one would write it by hand: the same model, tokens and arguments given to TRL,
  trained, saved, nothing else;
- empty: accelerate launches that script, which ends after its imports.

build − empty is what a stage costs beyond its imports, its four steps of training included: the goal is at most 1 s.
build − bare is what the build adds. bare ends sooner than its imports and work would say: a program that has trained
leaves the interpreter about a second faster than one that ends after its imports.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import SFT, Project, checkout, clean_environment
from posttrain.files import read_json

BARE = """\
import sys

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

base, tokenizer, tokens, out = sys.argv[1:]
if out == "nothing":
    sys.exit()
said = {
    "learning_rate": 1e-2, "per_device_train_batch_size": 8, "num_train_epochs": 1, "max_length": 48, "seed": 1,
    "bf16": False, "use_cpu": True, "activation_checkpointing": False, "dataloader_pin_memory": False,
    "logging_steps": 10, "logging_first_step": True, "save_steps": 100, "save_total_limit": 2, "disable_tqdm": True,
    "report_to": "none", "output_dir": f"{out}/checkpoints", "dataset_kwargs": {"skip_prepare_dataset": True},
}
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(base, dtype="float32"),
    args=SFTConfig(**said),
    train_dataset=Dataset.from_file(f"{tokens}/train.arrow"),
    processing_class=AutoTokenizer.from_pretrained(tokenizer),
)
trainer.train()
assert trainer.state.global_step == 4
trainer.save_model(f"{out}/files")
"""


class Ways:
    """The three ways, in one checkout whose inputs are ready."""

    def __init__(self, root: Path) -> None:
        self.project: Project = checkout(root)
        self.project.edit("runtime: {save_steps: 1, logging_steps: 1}", "runtime: {save_steps: 100, logging_steps: 10}")
        self.project.make(SFT)
        self.project.path("bare.py").write_text(BARE)
        plan = self.project.plan()
        self.environment = clean_environment() | {"HF_HUB_OFFLINE": "1", "POSTTRAIN_PLAN": str(plan)}
        self.inputs = read_json(plan)["targets"][SFT]["inputs"]

    def build(self) -> None:
        self.call(["-m", "posttrain.build", SFT])

    def launch(self, out: str) -> None:
        launcher = ["-m", "accelerate.commands.launch", "--quiet", "--config_file", "config/launch/single.yaml"]
        words = [self.inputs[role] for role in ("base", "tokenizer", "tokens")]
        self.call([*launcher, "--num_processes", "1", "--main_process_port", "0", "bare.py", *words, out])

    def call(self, words: list[str]) -> None:
        subprocess.run(
            [sys.executable, *words], cwd=self.project.root, env=self.environment, check=True, capture_output=True
        )

    def turn(self) -> dict[str, tuple[float, float]]:
        """One of each."""
        self.project.forget(SFT)
        found = {
            "build": timed(self.build),
            "bare": timed(lambda: self.launch("bare")),
            "empty": timed(lambda: self.launch("nothing")),
        }
        shutil.rmtree(self.project.path("bare"))
        return found


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock, and seconds of CPU."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        ways = Ways(Path(folder) / "p")
        ways.turn()  # bytecode, disk cache
        load = os.getloadavg()[0]
        turns = [ways.turn() for _ in range(repeats)]
    print(f"median of {repeats}, in turns; load {load:.1f} at the start, on {os.cpu_count()} cores")
    for i, clock in enumerate(("wall", "CPU")):
        seconds = {way: statistics.median(turn[way][i] for turn in turns) for way in ("build", "bare", "empty")}
        more = {way: statistics.median(turn["build"][i] - turn[way][i] for turn in turns) for way in ("empty", "bare")}
        print(clock, *(f"{way} {found:.2f} s" for way, found in seconds.items()), sep="  ")
        print(*(f"  build − {way} {found:.2f} s" for way, found in more.items()))


if __name__ == "__main__":
    main()
