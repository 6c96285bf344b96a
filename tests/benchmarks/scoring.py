"""What a reward model's batches are worth: conversations of like length side by side, against batches as they come.

    python tests/benchmarks/scoring.py [repeats]

Both ways give the stage's own `score` the same 256 sequences of tokens, of 16 to 512 (evenly on a logarithmic scale),
in batches of at most 32, in turns. *by length*: as the stage cuts them, `build.pool.batches`. *as they come*: 32 at
once in the order of the rows, padded to the longest. One thread, a random Llama of 1.2 M parameters.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from posttrain.build.pool import BATCH, batches
from posttrain.score import reward

ROWS, SHORTEST, LONGEST, WORDS = 256, 16, 512, 1000


def model(folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=WORDS, **sizes, num_labels=1, pad_token_id=0, max_position_embeddings=LONGEST)
    LlamaForSequenceClassification(config).save_pretrained(folder)


def sequences() -> list[list[int]]:
    draw = random.Random(0)
    lengths = [round(SHORTEST * (LONGEST / SHORTEST) ** draw.random()) for _ in range(ROWS)]
    return [[draw.randrange(1, WORDS) for _ in range(length)] for length in lengths]


def timed(read: list[list[int]], cuts: list[list[int]], folder: Path) -> tuple[float, list[float]]:
    """Seconds, and the score of each sequence."""
    scores, start = [0.0] * len(read), time.perf_counter()
    for cut in cuts:
        for place, score in zip(cut, reward.score([read[i] for i in cut], folder, "cpu"), strict=True):
            scores[place] = score
    return time.perf_counter() - start, scores


def padded(read: list[list[int]], cuts: list[list[int]]) -> int:
    """Tokens that are computed, padding too."""
    return sum(len(cut) * max(len(read[i]) for i in cut) for cut in cuts)


def main() -> None:
    repeats, read = int(sys.argv[1]) if len(sys.argv) > 1 else 3, sequences()
    ways = {
        "by length": batches([len(ids) for ids in read]),
        "as they come": [list(range(start, min(start + BATCH, ROWS))) for start in range(0, ROWS, BATCH)],
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model(folder)
        timed(read[:BATCH], [list(range(BATCH))], folder)  # opens the model
        load = os.getloadavg()[0]
        turns = [{way: timed(read, cuts, folder) for way, cuts in ways.items()} for _ in range(repeats)]
    one, other = (turns[0][way][1] for way in ways)
    print(f"{ROWS} sequences, {sum(map(len, read))} tokens; {repeats} turns; load {load:.1f} at the start")
    for way, cuts in ways.items():
        seconds = statistics.median(turn[way][0] for turn in turns)
        print(f"{way:14} {seconds:6.2f} s  {len(cuts)} batches, {padded(read, cuts)} tokens with padding")
    ratios = [turn["as they come"][0] / turn["by length"][0] for turn in turns]
    print(
        f"by length is {statistics.median(ratios):.2f} times as fast ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
    )
    print(f"largest difference of a score: {max(abs(a - b) for a, b in zip(one, other, strict=True)):.1e}")


if __name__ == "__main__":
    main()
