"""A model of 1.2 billion random weights on one GPU: tokens/s and MFU of builds, beside plain TRL scripts' of the same.

    python tests/benchmarks/mfu.py [--peak 989e12] [--small]

SFT padded, packed, and packed with the hub's kernels; DPO from a ready reference against TRL's live one; in bfloat16
autocast, with flash-attn where it works, else SDPA. Tokens are those of the rows, each once. MFU counts 6 FLOPs of each
for every weight of the policy (a live reference's are of no use), of `--peak`: by default what an H100 or H200 does in
dense bfloat16. `--small` runs the same on a CPU with a tiny model, to see that it runs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from against_trl import Bench, conversations, pairs
from transformers.utils import is_kernels_available

from posttrain.files import read_json
from posttrain.plan import size
from posttrain.train.models import flash_attn_works

SHAPES = {  # hidden, intermediate, layers, heads, heads of keys, vocabulary; tokens of a row
    "large": ((2048, 8192, 16, 32, 8, 32768), 2048),
    "small": ((64, 128, 2, 4, 2, 512), 256),
}
PAGE = """\
data:
  rows: {{sources: [{{path: rows.jsonl}}]}}
preferences:
  pairs: {{sources: [{{path: pairs.jsonl}}]}}
models:
  base:
    method: init
    architecture: {{model_type: llama, hidden_size: {0}, intermediate_size: {1}, num_hidden_layers: {2}, num_attention_heads: {3}, num_key_value_heads: {4}, vocab_size: {5}, max_position_embeddings: 4096, tie_word_embeddings: true}}
    template: bytes
  sft:
    method: sft
    base: base
    data: rows
    train: {{learning_rate: 1e-5, batch_size: 16, max_length: {length}, bf16: {cuda}, seed: 1}}
    runtime: {{gpus: {gpus}, micro_batch_size: 8, save_steps: 10000, logging_steps: 10}}
  packed:
    extends: sft
    train: {{packing: true, batch_size: 4}}
    runtime: {{micro_batch_size: 2}}
  dpo:
    method: dpo
    base: base
    preferences: pairs
    train: {{learning_rate: 1e-6, batch_size: 16, max_length: {length}, bf16: {cuda}, seed: 1}}
    runtime: {{gpus: {gpus}, micro_batch_size: 4, save_steps: 10000, logging_steps: 10}}
"""  # noqa: E501
KERNELS = """\
  kernels:
    extends: packed
    train: {seed: 2}
    runtime: {use_kernels: true}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=989e12, help="FLOPs a second that the GPU could do")
    parser.add_argument("--small", action="store_true", help="a tiny model, on a CPU")
    args = parser.parse_args()
    numbers, length = SHAPES["small" if args.small else "large"]
    cuda = not args.small
    page = PAGE.format(*numbers, length=length, cuda=str(cuda).lower(), gpus=int(cuda))
    targets = ["sft", "packed", "dpo"]
    if cuda and is_kernels_available():
        targets, page = [*targets, "kernels"], page + KERNELS
    attention = "flash_attention_2" if cuda and flash_attn_works() else "sdpa"
    said = {"max_length": length, "bf16": cuda, "use_cpu": not cuda, "num_train_epochs": 1, "seed": 1}
    with tempfile.TemporaryDirectory() as folder:
        count = 64 if args.small else 2048
        bench = Bench(Path(folder, "p"), conversations(count), pairs(count // 2), page)
        parameters = size.architecture(read_json(bench.project.path("models/base/config.json"))).parameters
        print(f"{parameters / 1e9:.2f} billion weights, {attention}, torch {torch.__version__}")

        def row(way: str, tokens: int, seconds: float, peak: float) -> None:
            rate = tokens / seconds
            print(
                f"{way}: {rate:.0f} tokens/s, MFU {6 * parameters * rate / args.peak:.3f}, {peak / 1e9:.1f} GB",
                flush=True,
            )

        bench.build(*(f"models/{name}" for name in targets))
        tokens = {"sft": bench.tokens("models/sft"), "dpo": bench.tokens("models/dpo")}
        for name in targets:
            again = bench.again(f"models/{name}")  # the first may have compiled
            row(
                name,
                tokens["dpo" if name == "dpo" else "sft"],
                again["train"]["train_runtime"],
                again["peak_memory_bytes"],
            )
        for method, rows, micro in (("sft", "rows.jsonl", 8), ("dpo", "pairs.jsonl", 4)):
            batch = {"per_device_train_batch_size": micro, "gradient_accumulation_steps": 16 // micro}
            plain = bench.plain(method, rows, attention, learning_rate=1e-5, **said, **batch)
            row(f"TRL's {method}", tokens[method], plain["seconds"], plain["peak"])


if __name__ == "__main__":
    main()
