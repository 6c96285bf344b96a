"""Answers by transformers' generate, every draw from a counter-based generator of its own.

A logits processor draws each row's token and leaves nothing else to take, so `generate` stays greedy, and what is drawn
hangs on a row's key and the token's place alone.
"""

from bisect import bisect_left
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from posttrain.checkpoints import ends_of, likeliest, open_chat_tokenizer, open_model, prompt_ids


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


class Stop(StoppingCriteria):
    """Ends the rows that have come to a text to stop at, so that no time is lost; what is cut off is `read`'s to say.

    Only the end of a row is looked at, and the whole of it before it is ended: a tail may read otherwise than there.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: list[str], prompt_length: int) -> None:
        self.tokenizer, self.stop, self.prompt_length = tokenizer, stop, prompt_length
        self.tail = max(len(text.encode()) for text in stop) + 1  # tokens: one has a byte at least

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        said = input_ids[:, self.prompt_length :].tolist()
        ends = [self.found(ids[-self.tail :]) and self.found(ids) for ids in said]
        return torch.tensor(ends, device=input_ids.device)

    def found(self, ids: list[int]) -> bool:
        return cut(self.tokenizer.decode(ids, skip_special_tokens=True), self.stop) is not None


def cut(text: str, stop: list[str]) -> str | None:
    """A text before the first of those to stop at; None if it holds none."""
    return min((text.partition(end)[0] for end in stop if end in text), key=len, default=None)


class Engine:
    """A model and its tokenizer, ready to answer."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device, self.tokenizer = device, open_chat_tokenizer(folder)
        self.tokenizer.padding_side = "left"
        self.model = open_model(AutoModelForCausalLM, folder, dtype="auto").to(device).eval()
        self.ends = ends_of(folder, self.tokenizer)
        self.model.generation_config = likeliest(self.ends, self.tokenizer)

    def answer(self, conversations: list[list[dict]], keys: list[int], sampling: dict) -> list[dict]:
        """The answer to each conversation that its key draws, all side by side: `completion`, `tokens`, `finished`."""
        made = self.draw([prompt_ids(self.tokenizer, turns) for turns in conversations], keys, sampling)
        return [self.read(ids, sampling.get("stop", [])) for ids in made]

    @torch.no_grad()
    def draw(self, read: list[list[int]], keys: list[int], sampling: dict) -> list[list[int]]:
        """The tokens that each key draws behind what is read; what comes after an end is padding."""
        fed = 2 if len(read) == 1 else 1  # one sequence alone is summed by other kernels
        batch = self.tokenizer.pad({"input_ids": read * fed}, return_tensors="pt").to(self.device)
        start = batch["input_ids"].shape[1]
        change = processors(sampling, keys * fed, start)
        if sampling.get("ends"):  # a rehearsal's, for a model at random would seldom come to an end
            last = start + sampling["max_new_tokens"]
            change.insert(0, ForcedEOSTokenLogitsProcessor(last, self.tokenizer.eos_token_id, device=self.device))
        stop = sampling.get("stop", [])
        made = self.model.generate(
            **batch,
            max_new_tokens=sampling["max_new_tokens"],
            logits_processor=change,
            stopping_criteria=StoppingCriteriaList([Stop(self.tokenizer, stop, start)] if stop else []),
        )
        return made[: len(read), start:].tolist()

    def read(self, ids: list[int], stop: list[str] = ()) -> dict:
        """An answer's text, its length in tokens with its end, and whether it came to an end: its own, or a text of
        `stop`, before which it is cut.
        """
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        said = ids if end is None else ids[: end + 1]
        text = self.text(said)
        if (before := cut(text, stop)) is None:
            return {"completion": text, "tokens": len(said), "finished": end is not None}
        tokens = bisect_left(range(len(said)), True, key=lambda i: cut(self.text(said[: i + 1]), stop) is not None) + 1
        return {"completion": before, "tokens": tokens, "finished": True}

    def text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


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
