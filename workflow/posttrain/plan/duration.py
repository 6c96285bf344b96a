"""How long a job computes: its tokens, times the FLOPs of each, at the share of a GPU's peak that is reached.

A token costs a forward pass two FLOPs for each weight that it goes through; the backward pass as many for the gradients
of what is computed, and as many again for those of the weights, if they are trained; activation checkpointing one more
forward pass (arXiv 2001.08361, 2205.05198). Attention adds four for each layer, unit of width and token looked at, of
which there are half a row on average (arXiv 2204.02311, appendix B). Tokens are those that were counted, or all that
rows can have.
"""

import math
from dataclasses import dataclass

from posttrain.files import read_json
from posttrain.plan.memory import SEQUENCES
from posttrain.plan.size import Architecture

COMPUTED = SEQUENCES | {"kto": 2}  # beside a row of KTO's its prompt with another's completion, for the KL
ROWS = {"kto": 2}  # of a pair
# Of a GPU's peak: what SmolLM3's own pretraining reached on H100s (29.4 %).
UTILISATION = 0.3


@dataclass(frozen=True)
class Work:
    """What a job computes."""

    flops: float
    counted: bool  # its tokens are known; else they are as many as its rows can have

    def hours(self, speed: float, gpus: int) -> float:
        """On some GPUs of a peak speed in FLOP/s."""
        return self.flops / (speed * UTILISATION * gpus) / 3600


def of(targets: dict[str, dict], path: str, model: Architecture) -> Work | None:
    """What a training or a reference computes; None if its rows cannot be counted."""
    target = targets[path]
    tokens = tokens_read(targets, target["inputs"]["tokens"])
    if tokens is None:
        return None
    count, counted = tokens
    own, train = target["own"], target["own"]["train"]
    length = targets[target["inputs"]["tokens"]]["own"]["max_length"]
    passes = 1
    if target["stage"] != "compute_reference":
        passes = 2 + (not own.get("peft")) + target["runtime"]["activation_checkpointing"]
        if train["max_steps"]:
            count, counted = train["max_steps"] * train["batch_size"] * length * COMPUTED.get(own["method"], 1), False
        else:
            count *= train["num_train_epochs"]
    return Work(count * passes * (2 * model.used + attention(model, length)), counted)


def attention(model: Architecture, length: int) -> float:
    """FLOPs of a token's attention in a forward pass: scores, and what they weigh."""
    return 4 * model.layers * model.heads * model.head_dim * length / 2


def tokens_read(targets: dict[str, dict], tokens: str) -> tuple[float, bool] | None:
    """How many tokens there are, or may be at most, and whether they were counted."""
    if counted := metrics(targets, tokens).get("tokens"):
        return counted, True
    own, rows = targets[tokens]["own"], rows_of(targets, targets[tokens]["inputs"]["rows"])
    method = own["method"]
    return None if rows is None else (rows * ROWS.get(method, 1) * COMPUTED.get(method, 1) * own["max_length"], False)


def rows_of(targets: dict[str, dict], path: str) -> int | None:
    """How many rows a data set has for training, or may have at most."""
    if (counted := metrics(targets, path).get("train_rows")) is not None:
        return counted
    target = targets[path]
    if target["stage"].startswith("select_"):  # one of each prompt, at most
        completions = targets[target["inputs"]["completions"]]
        return rows_of(targets, completions["inputs"]["prompts"]) if "prompts" in completions["inputs"] else None
    if not target["stage"].startswith("mix_"):
        return None
    sources = enumerate(target["own"]["sources"])
    counts = [of_source(targets, target["inputs"].get(f"sources.{i}"), source) for i, source in sources]
    return None if None in counts else sum(counts)


def of_source(targets: dict[str, dict], made: str | None, source: dict) -> int | None:
    """The rows that a source gives at most: as many as it says, or its share of a target's or of a hub dataset's."""
    if source["rows"] or made is None:
        return source["rows"]
    if targets[made]["stage"] == "fetch_snapshot":
        split = f"{source['subset']}/{source['split']}" if source["subset"] else source["split"]
        there = targets[made]["published"].get(split)
    else:
        there = rows_of(targets, made) if source["split"] == "train" else None
    return None if there is None else min(math.floor(there * (source["weight"] or 1)), max(0, there - source["skip"]))


def metrics(targets: dict[str, dict], path: str) -> dict:
    """What was measured of a target, if it is made already."""
    return read_json(f"{path}.run.json").get("metrics") or {} if targets[path]["made"] else {}
