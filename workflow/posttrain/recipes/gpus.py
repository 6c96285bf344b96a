"""GPUs by name: how much memory one has, and how fast it multiplies matrices in bfloat16, without sparsity."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GPU:
    memory: float  # bytes, as it is sold: what it has besides holds CUDA's own context
    speed: float  # FLOP/s


GPUS = {  # NVIDIA's data sheets; of the RTX cards the whitepapers of GA102 and AD102, sums in float32
    "rtx3090": GPU(24e9, 71e12),
    "rtx4090": GPU(24e9, 165e12),
    "l40s": GPU(48e9, 362e12),
    "a100-40gb": GPU(40e9, 312e12),
    "a100": GPU(80e9, 312e12),
    "h100": GPU(80e9, 989e12),
    "h200": GPU(141e9, 989e12),
}
SLOWEST = "a100"  # of those that most of such work is done on: reckoned with where none is named
SIZES = (24e9, 40e9, 80e9, 141e9)  # that cards are commonly sold in
