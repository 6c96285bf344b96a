"""Completions by transformers' generate, every draw from a counter-based generator of its own.

A logits processor draws each row's token and leaves nothing else to take, so `generate` stays greedy, and what is drawn
hangs on the seed, the prompt, the sample and the token's place alone.
"""

import hashlib
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    ForcedEOSTokenLogitsProcessor,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.checkpoints import open_chat_tokenizer, open_model
from posttrain.sample.prompts import Prompt


class Draw(LogitsProcessor):
    """Draws from logits of shape (rows, vocabulary): all but the drawn token of each row become -inf.

    The token is the one in whose share of the probability, laid end to end, the row's uniform number falls: one number
    a token, where the noise of an exact draw by its largest (Gumbel's) is one for each word of the vocabulary.
    """

    def __init__(self, keys: list[int], prompt_length: int) -> None:
        self.keys, self.prompt_length = keys, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1] - self.prompt_length
        numbers = torch.tensor([[uniform(key, place)] for key in self.keys], dtype=torch.float64, device=scores.device)
        ends = scores.double().softmax(-1).cumsum(-1)
        drawn = torch.searchsorted(ends, numbers * ends[:, -1:], right=True)  # right: never a share of nothing
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0)


def uniform(key: int, place: int) -> float:
    """The number, of [0, 1), of one token's choice. Its place is the counter's highest word: streams never meet."""
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, place])).random()


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
    return open_sampler(folder, device).complete(block, sampling)


class Sampler:
    """A model and its tokenizer, ready to answer."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device, self.tokenizer = device, open_chat_tokenizer(folder)
        self.tokenizer.padding_side = "left"
        self.model = open_model(AutoModelForCausalLM, folder, dtype="auto").to(device).eval()
        said = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])} - {None}
        # A hub model's own asks for penalties and draws of its own.
        self.model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(self.ends), pad_token_id=self.tokenizer.pad_token_id
        )

    def ids(self, prompt: list[dict]) -> list[int]:
        return self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]

    @torch.no_grad()
    def complete(self, prompts: list[Prompt], sampling: dict) -> list[dict]:
        """n completions of each prompt, in order, as rows of `completions.parquet`."""
        read = [(prompt, self.ids(prompt.turns)) for prompt in prompts]
        drawn = [(prompt, i, ids) for prompt, ids in read for i in range(sampling["n"])]
        fed = drawn * 2 if len(drawn) == 1 else drawn  # one sequence alone is summed by other kernels
        batch = self.tokenizer.pad({"input_ids": [ids for *_, ids in fed]}, return_tensors="pt").to(self.device)
        start = batch["input_ids"].shape[1]
        keys = [key_of(sampling["seed"], prompt.number, i) for prompt, i, _ in fed]
        change = processors(sampling, keys, start)
        if sampling.get("ends"):  # a rehearsal's, for a model at random would seldom come to an end
            last = start + sampling["max_new_tokens"]
            change.insert(0, ForcedEOSTokenLogitsProcessor(last, self.tokenizer.eos_token_id, device=self.device))
        made = self.model.generate(**batch, max_new_tokens=sampling["max_new_tokens"], logits_processor=change)[
            :, start:
        ].tolist()
        return [
            {"prompt_id": prompt.number, "sample": i, "prompt": prompt.turns, "reference": prompt.reference}
            | self.read(ids)
            for (prompt, i, _), ids in zip(drawn, made[: len(drawn)], strict=True)
        ]

    def read(self, ids: list[int]) -> dict:
        """A completion's text, its length in tokens with its end, and whether it came to an end."""
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        said = ids if end is None else ids[: end + 1]
        text = self.tokenizer.decode(said, skip_special_tokens=True)
        return {"completion": text, "tokens": len(said), "finished": end is not None}


def processors(sampling: dict, keys: list[int], start: int) -> LogitsProcessorList:
    """What changes the logits and draws from them, behind prompts of a length; nothing if the likeliest is taken."""
    made = LogitsProcessorList()
    if sampling["temperature"] == 0:
        return made
    if sampling["temperature"] != 1:
        made.append(TemperatureLogitsWarper(sampling["temperature"]))
    if sampling["top_k"]:
        made.append(TopKLogitsWarper(sampling["top_k"]))
    if sampling["top_p"] < 1:
        made.append(TopPLogitsWarper(sampling["top_p"]))
    made.append(Draw(keys, start))
    return made


@cache
def open_sampler(folder: Path, device: str) -> Sampler:
    """One a process, however many ways of sampling."""
    return Sampler(folder, device)
