"""Answers by vLLM: whatever it is given goes through one continuous batch, prompts that begin alike computed once.

A sequence's draws hang on its own seed. The logits that it draws from hang, in their last bits, on what was computed
beside it, so equal bytes are for equal blocks on equal hardware.
"""

import os
from pathlib import Path
from typing import Any

# vLLM reads these when it is imported. One process, whose order of work is always the same; on a CPU no thread is bound
# to a core, for engines beside this one would all take the first.
os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GB

import torch
from vllm import LLM, RequestOutput, SamplingParams, TokensPrompt

from posttrain.adapters import is_adapter
from posttrain.checkpoints import config_of, ends_of, open_chat_tokenizer, prompt_ids
from posttrain.files import Refusal

SEEDS = 1 << 63  # that a torch generator takes


def options(folder: Path, device: str) -> dict[str, Any]:
    """How vLLM opens a model."""
    return {
        "load_format": "safetensors",
        "dtype": config_of(folder).dtype or "auto",  # vLLM's own `auto` rounds float32 to bfloat16
        "max_model_len": -1,  # as long as the model and the memory allow
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # a hub model's own asks for penalties and draws of its own
        "tensor_parallel_size": max(torch.cuda.device_count(), 1),  # the GPUs that the job has
        "enforce_eager": device == "cpu",
        # Where a prompt is read in pieces vLLM winds a sequence's seeded generator back, which a CPU's cannot.
        "enable_chunked_prefill": device != "cpu",
    }


def refuse_too_long(model: LLM, folder: Path, device: str, longest: int, most: int) -> None:
    """Refuse a prompt's length with which an answer would be cut for want of memory, and not as the recipe says.

    Args:
        most: tokens that an answer may have.
    """
    holds = model.model_config.max_model_len
    if longest + most > holds:
        gpus = "more runtime.gpus (of a judge that has its own: runtime.judge.gpus)"
        more = "more VLLM_CPU_KVCACHE_SPACE (GB)" if device == "cpu" else gpus
        more += ", or lower max_new_tokens, which makes other answers" if most > 1 else ""
        raise Refusal(
            f"vLLM holds {holds} tokens of {folder} in its memory, and a prompt of {longest} with an answer of {most} "
            f"takes {longest + most}; give it {more}"
        )


class Engine:
    """A model and its tokenizer, ready to answer."""

    def __init__(self, folder: Path, device: str) -> None:
        if is_adapter(folder):
            raise Refusal(f"{folder} is an adapter, and vLLM is given whole weights; name its merge (`method: merge`)")
        self.folder, self.device = folder, device
        self.tokenizer = open_chat_tokenizer(folder)
        self.ends = ends_of(folder, self.tokenizer)
        self.model = LLM(str(folder), **options(folder, device))

    def answer(self, conversations: list[list[dict]], keys: list[int], sampling: dict) -> list[dict]:
        """The answer to each conversation that its key draws, all side by side: `completion`, `tokens`, `finished`."""
        asked = [prompt_ids(self.tokenizer, turns) for turns in conversations]
        refuse_too_long(self.model, self.folder, self.device, max(map(len, asked)), sampling["max_new_tokens"])
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in asked]
        made = self.model.generate(prompts, [self.drawing(key, sampling) for key in keys], use_tqdm=False)
        return [self.read(request) for request in made]

    def drawing(self, key: int, sampling: dict) -> SamplingParams:
        """How one sequence is drawn."""
        return SamplingParams(
            temperature=sampling["temperature"],
            top_k=sampling["top_k"],
            top_p=sampling["top_p"],
            max_tokens=sampling["max_new_tokens"],
            seed=key % SEEDS,
            stop_token_ids=sorted(self.ends),
            stop=sampling.get("stop"),
            detokenize=bool(sampling.get("stop")),  # as it goes; what has ended is decoded below
        )

    def read(self, request: RequestOutput) -> dict:
        """An answer's text, its length in tokens with its end, and whether it came to an end."""
        (said,) = request.outputs
        stopped = isinstance(said.stop_reason, str)  # by a text, before which vLLM has cut
        text = said.text if stopped else self.tokenizer.decode(said.token_ids, skip_special_tokens=True)
        return {"completion": text, "tokens": len(said.token_ids), "finished": said.finish_reason == "stop"}
