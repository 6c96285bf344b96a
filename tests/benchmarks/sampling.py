"""Tokens per second of sampling: our stage against vLLM's own bare loop, and vLLM against the transformers engine.

    python tests/benchmarks/sampling.py [turns]

SmolLM2-135M-Instruct in float32 on a CPU, one thread, prompts of 10 to 250 words in no order, two samples of each,
which end where they will within 96 tokens. It needs the environment that `make vllm` makes.

- bare: `LLM.generate` of vLLM, given token ids and parameters that are ready;
- stage: what a sampling stage does once its model is open: chat template, keys, blocks kept over a kill, rows, parquet;
- transformers: the same by the transformers engine.

The first two take turns in one process, on the same sequences with the same seeds, prefix cache emptied before each.
The last is a process of its own, for it is another environment; it runs before and after the other.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROMPTS, LENGTHS = 24, (10, 250)  # words
SAMPLING = {"n": 2, "temperature": 1, "top_k": 0, "top_p": 1, "max_new_tokens": 96, "seed": 0}
BLOCK_SIZES = {"transformers": 64, "vllm": 1024}
WORDS = ["river", "bends", "old", "stones", "keep", "warm", "and", "small", "boats", "wait", "for", "rain"]


def main() -> None:
    from conftest import ROOT, checkout, clean_environment

    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    theirs = ROOT / ".venv-sample-cpu/bin/python"
    if not theirs.exists():
        sys.exit("there is no .venv-sample-cpu: `make vllm` makes it")
    with tempfile.TemporaryDirectory() as folder:
        project = checkout(Path(folder) / "p")
        shutil.copy(ROOT / "config/recipes/smollm2-wheel.yaml", project.path("config/recipes"))
        project.make("models/smollm2-wheel")
        environment = clean_environment() | {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1"}

        def measure(python: str | Path, engine: str, turns: int) -> dict[str, dict[str, list[float]]]:
            words = [python, __file__, "--engine", engine, str(project.path("models/smollm2-wheel")), str(turns)]
            run = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(next(line for line in run.stdout.splitlines() if line.startswith("{")))

        load = os.getloadavg()[0]
        before = measure(sys.executable, "transformers", 1)
        found = measure(theirs, "vllm", turns)
        after = measure(sys.executable, "transformers", 1)
    print(
        f"{turns} turns; load {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end, on {os.cpu_count()} cores"
    )
    for clock, said in found.items():
        slow = before[clock]["stage"] + after[clock]["stage"]
        print(f"tokens per second of {clock}")
        for way, rates in {**said, "transformers": slow}.items():
            print(f"  {way:12}", *(f"{rate:.1f}" for rate in rates))
        ratios = [stage / bare for stage, bare in zip(said["stage"], said["bare"], strict=True)]
        print(f"  stage / bare {statistics.median(ratios):.3f} ({', '.join(f'{ratio:.3f}' for ratio in ratios)})")
        print(f"  vllm / transformers {statistics.median(said['stage']) / statistics.mean(slow):.2f}")


def rates(name: str, folder: Path, turns: int) -> dict[str, dict[str, list[float]]]:
    """Tokens of one engine per second of wall time and of CPU time, by way, each turn."""
    from posttrain.build.job import Job
    from posttrain.data import rows
    from posttrain.sample.blocks import blocks
    from posttrain.sample.completions import completions, key_of, open_engine
    from posttrain.sample.prompts import Prompt

    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(*LENGTHS))) for _ in range(PROMPTS)]
    prompts = [Prompt(i, [{"role": "user", "content": f"Go on: {text}"}], None) for i, text in enumerate(texts)]
    sampling = SAMPLING | {"engine": name, "block_size": BLOCK_SIZES[name]}
    engine = open_engine(name, folder, "cpu")

    def stage() -> int:
        with tempfile.TemporaryDirectory() as work:
            job = Job("completions/x", {}, {"model": folder}, {}, {}, {"gpus": 0, "processes": 1}, Path(work))
            cuts = blocks(len(prompts), sampling["n"], sampling["block_size"])
            made = completions(job, "blocks", [prompts[cut.start : cut.stop] for cut in cuts], sampling)
            rows.write(made, rows.COMPLETIONS, Path(work) / "completions.parquet")
        return sum(row["tokens"] for row in made)

    ways: dict[str, Callable[[], int]] = {"stage": stage}
    if name == "vllm":
        from vllm import TokensPrompt

        drawn = [(prompt, i) for prompt in prompts for i in range(sampling["n"])]
        read = [
            engine.tokenizer.apply_chat_template(prompt.turns, add_generation_prompt=True, return_dict=True)
            for prompt, _ in drawn
        ]
        asked = [TokensPrompt(prompt_token_ids=said["input_ids"]) for said in read]
        how = [engine.drawing(key_of(sampling["seed"], prompt.number, i), sampling) for prompt, i in drawn]

        def bare() -> int:
            made = engine.model.generate(asked, how, use_tqdm=False)
            return sum(len(request.outputs[0].token_ids) for request in made)

        ways["bare"] = bare
        engine.model.generate(asked[:2], how[:2], use_tqdm=False)
    clocks = {"wall": time.perf_counter, "CPU": time.process_time}
    found: dict[str, dict[str, list[float]]] = {clock: {way: [] for way in ways} for clock in clocks}
    counts = set()
    for turn in range(turns):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            if name == "vllm":
                engine.model.reset_prefix_cache()
            starts = {clock: now() for clock, now in clocks.items()}
            counts.add(tokens := ways[way]())
            for clock, now in clocks.items():
                found[clock][way].append(tokens / (now() - starts[clock]))
    assert len(counts) == 1, f"the ways have not said as much: {counts}"
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--engine")
        parser.add_argument("folder", type=Path)
        parser.add_argument("turns", type=int)
        said = parser.parse_args()
        print(json.dumps(rates(said.engine, said.folder, said.turns)))
    else:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        main()
