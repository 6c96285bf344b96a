"""Completions by transformers' generate, every draw from a counter-based generator of its own.

Noise of a Gumbel distribution added to log-probabilities makes the largest an exact draw from them (arXiv 1411.0030),
so `generate` stays greedy, and what is drawn hangs on the seed, the prompt, the sample and the token's place alone.
"""

import hashlib
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.sample.prompts import Prompt


class GumbelNoise(LogitsProcessor):
    """Adds noise to logits of shape (rows, vocabulary): for each row that of its key and of the token's place."""

    def __init__(self, keys: list[int], prompt_length: int) -> None:
        self.keys, self.prompt_length = keys, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place, size = input_ids.shape[1] - self.prompt_length, scores.shape[1]
        noise = np.stack([gumbel(key, place, size) for key in self.keys])
        return scores + torch.from_numpy(noise).to(scores)


def gumbel(key: int, place: int, size: int) -> np.ndarray:
    """The noise of one token's choice. Its place is the counter's highest word: no stream reaches the next."""
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, place])).gumbel(size=size)


def key_of(seed: int, prompt_id: int, sample: int) -> int:
    """The generator's key, 128 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed} {prompt_id} {sample}".encode()).digest()[:16], "big")


def blocks(prompts: int, n: int, block_size: int) -> list[range]:
    """The prompts that are answered side by side, by their numbers: every prompt once, whatever the shards.

    A block is as many whole prompts as fit block_size sequences; a last one of a single sequence joins the one before.
    """
    size = max(block_size // n, 1)
    cuts = [range(start, min(start + size, prompts)) for start in range(0, prompts, size)]
    if len(cuts) > 1 and len(cuts[-1]) * n == 1:
        cuts[-2:] = [range(cuts[-2].start, prompts)]
    return cuts


def completions(job: Job, name: str, prompts: list[Prompt], sampling: dict) -> list[dict]:
    """The completions of all prompts, in order: their blocks over the job's shards, kept over a kill under a name."""
    device = "cuda" if job.runtime["gpus"] else "cpu"
    work = partial(complete, folder=job.inputs["model"], sampling=sampling, device=device)
    cuts = blocks(len(prompts), sampling["n"], sampling["block_size"])
    made = each_once(job, name, work, [prompts[cut.start : cut.stop] for cut in cuts])
    return [row for block in made for row in block]


def complete(block: list[Prompt], folder: Path, sampling: dict, device: str) -> list[dict]:
    return open_sampler(folder, tuple(sampling.items()), device).complete(block)


class Sampler:
    """A model and its tokenizer, ready to answer."""

    def __init__(self, folder: Path, sampling: dict, device: str) -> None:
        self.sampling, self.device = sampling, device
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "left"
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True).to(device).eval()
        self.ends = self.model.generation_config.eos_token_id or self.tokenizer.eos_token_id
        self.model.generation_config = GenerationConfig(  # a hub model's own asks for penalties and draws of its own
            max_new_tokens=sampling["max_new_tokens"],
            do_sample=False,
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id,
        )

    def ids(self, prompt: list[dict]) -> list[int]:
        return self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]

    @torch.no_grad()
    def complete(self, prompts: list[Prompt]) -> list[dict]:
        """n completions of each prompt, in order, as rows of `completions.parquet`."""
        drawn = [(prompt, i, self.ids(prompt.turns)) for prompt in prompts for i in range(self.sampling["n"])]
        fed = drawn * 2 if len(drawn) == 1 else drawn  # one sequence alone is summed by other kernels
        batch = self.tokenizer.pad({"input_ids": [ids for *_, ids in fed]}, return_tensors="pt").to(self.device)
        start = batch["input_ids"].shape[1]
        keys = [key_of(self.sampling["seed"], prompt.number, i) for prompt, i, _ in fed]
        made = self.model.generate(**batch, logits_processor=self.processors(keys, start))[:, start:].tolist()
        return [
            {"prompt_id": prompt.number, "sample": i, "prompt": prompt.turns, "reference": prompt.reference}
            | self.read(ids)
            for (prompt, i, _), ids in zip(drawn, made[: len(drawn)], strict=True)
        ]

    def processors(self, keys: list[int], start: int) -> LogitsProcessorList:
        said, made = self.sampling, LogitsProcessorList()
        if said["temperature"] == 0:
            return made
        if said["temperature"] != 1:
            made.append(TemperatureLogitsWarper(said["temperature"]))
        if said["top_k"]:
            made.append(TopKLogitsWarper(said["top_k"]))
        if said["top_p"] < 1:
            made.append(TopPLogitsWarper(said["top_p"]))
        made.append(GumbelNoise(keys, start))
        return made

    def read(self, ids: list[int]) -> dict:
        """A completion's text, its length in tokens with its end, and whether it came to an end."""
        ends = [self.ends] if isinstance(self.ends, int) else self.ends
        end = next((i for i, token in enumerate(ids) if token in ends), None)
        said = ids if end is None else ids[: end + 1]
        text = self.tokenizer.decode(said, skip_special_tokens=True)
        return {"completion": text, "tokens": len(said), "finished": end is not None}


@cache
def open_sampler(folder: Path, sampling: tuple, device: str) -> Sampler:
    """One a process."""
    return Sampler(folder, dict(sampling), device)
