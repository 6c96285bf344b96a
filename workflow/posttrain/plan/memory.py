"""The most memory that a training job holds at once: what is kept over a step, and what one micro-batch adds.

Every term is counted from the model's shape, but for two constants of a CPU that were measured, each named below;
tests/benchmarks/memory.py measures the whole. Of a GPU it is what PyTorch allocates, without CUDA's own context.

Counted for one process, of rows that fill max_length:

- weights; of 4-bit weights, the file that they were read from too (on a CPU it stays mapped, for what is not
  quantised is used where it lies);
- gradients and the optimizer's moments, of what is trained: the model, or its adapter;
- activations: what a layer keeps for its backward pass, for each token;
- logits: TRL's trainers make them in tiles, its experimental ones all at once.

A step is at its fullest either where the backward pass begins (all activations, the logits' tiles, the gradient of
the matrix that makes them) or where it ends (all gradients). A reference costs nothing: its log-probs are in a file.
"""

from dataclasses import dataclass
from typing import Any

from posttrain.plan.size import BYTES, NF4_BITS, NF4_BITS_SINGLY, Architecture

HOST = 4e9  # of a process on a GPU, in its machine's memory: libraries and CUDA; not measured
LIBRARIES = 550e6  # measured: an interpreter with torch (for CPUs), transformers, peft and TRL, before it trains
# Measured: of blocks below 32 MB glibc keeps the places of the freed, and seldom finds the next one to fit. So much of
# what a micro-batch takes is held besides it.
HEAP = 0.8

SEQUENCES = {"reward": 2, "dpo": 2, "orpo": 2, "cpo": 2, "simpo": 2}  # of a row: a pair is two; others are one
WHOLE_LOGITS = ("orpo", "cpo", "simpo")  # methods whose trainers make all logits of a micro-batch
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768  # TRL 1.16's tile of logits
TILE_COPIES = 8  # of a tile, where PyTorch makes its gradient step by step; a GPU has a kernel that makes it in place
FLOAT, EIGHT_BITS = 4, 1 + 4 / 256  # bytes of a moment; of eight bits each block of 256 has a scale
LOGITS_COPIES = 4  # logits, their log-softmax, the gradients of both


@dataclass(frozen=True)
class Memory:
    """Bytes of one process, by what they hold."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float  # with the gradient of the matrix that makes them
    heap: float = 0
    libraries: float = 0

    @property
    def peak(self) -> float:
        beginning = self.activations + self.logits + self.heap
        return self.libraries + self.weights + self.optimizer + max(beginning, self.gradients)


def of_training(model: Architecture, own: dict[str, Any], runtime: dict[str, Any]) -> Memory:
    """The memory of one process of a training job.

    Args:
        own: the target's recipe: `method`, `train`, and `peft` and `quantization` where it has them.
        runtime: its circumstances, with `processes` and `micro_batch_size` settled.
    """
    train, on_cpu = own["train"], not runtime["gpus"]
    kept, sharing = BYTES[train["dtype"]], shares(runtime)
    trained = model.adapter(own["peft"]) if own.get("peft") else model.parameters
    tokens = runtime["micro_batch_size"] * SEQUENCES.get(own["method"], 1) * train["max_length"]
    activations = tokens * activations_of_token(model, own, runtime)
    logits = logits_of(model, own, tokens, on_cpu)
    weights, gradients = weights_of(model, own, on_cpu), trained * kept_by_trained(own)
    if train["bf16"] and kept == 4:
        activations += 2 * model.in_linears  # autocast's copies of the matrices, kept for the backward pass
    held = gradients / sharing["gradients"] * (2 if runtime["launch"] == "ddp" else 1)  # ddp's buckets are a copy
    started = 0.0  # what a backward pass finds of gradients: those of the micro-batches before it
    if runtime["gradient_accumulation_steps"] > 1:
        started = held
    return Memory(
        # accelerate shards no weights of four bits
        weights=weights if four_bit(own) else weights / sharing["weights"] + gathered(model, kept, sharing),
        gradients=held,
        optimizer=(trained * optimizer_bytes(own, runtime) + embedding_moments(model, own)) / sharing["optimizer"],
        activations=activations + started,
        logits=logits,
        heap=HEAP * (activations + logits) if on_cpu else 0,
        libraries=LIBRARIES if on_cpu else 0,
    )


def of_machine(model: Architecture, own: dict[str, Any], runtime: dict[str, Any]) -> float:
    """The memory of each machine of a training job on GPUs: what is loaded through it, and what is offloaded to it."""
    processes = runtime["processes"] // runtime["nodes"]
    weights = model.parameters * BYTES[own["train"]["dtype"]]
    loading = 1 if shares(runtime)["weights"] > 1 else processes  # of shards one process reads for all
    trained = model.adapter(own["peft"]) if own.get("peft") else model.parameters
    offloaded = 0.0 if runtime["offload"] == "none" else trained * optimizer_bytes(own, runtime)
    if runtime["offload"] == "all":
        offloaded += weights + trained * kept_by_trained(own)
    return processes * HOST + loading * weights + offloaded / runtime["nodes"]


def shares(runtime: dict[str, Any]) -> dict[str, int]:
    """Over how many processes a launch spreads what."""
    spread = {"zero2": ("optimizer", "gradients"), "zero3": ("optimizer", "gradients", "weights")}
    spread["fsdp"] = spread["zero3"]
    parts = spread.get(runtime["launch"], ())
    return {part: runtime["processes"] if part in parts else 1 for part in ("weights", "gradients", "optimizer")}


def gathered(model: Architecture, kept: int, sharing: dict[str, int]) -> float:
    """Weights that a process has whole while they are worked on: of two layers, this one and the next."""
    return 2 * model.layer * kept if sharing["weights"] > 1 else 0


def weights_of(model: Architecture, own: dict[str, Any], on_cpu: bool) -> float:
    kept = BYTES[own["train"]["dtype"]]
    adapter = model.adapter(own["peft"]) * kept_by_trained(own) if own.get("peft") else 0
    if not four_bit(own):
        return model.parameters * kept + adapter
    bits = NF4_BITS if own["quantization"].get("bnb_4bit_use_double_quant") else NF4_BITS_SINGLY
    quantised = model.in_linears * bits / 8 + (model.parameters - model.in_linears) * kept + adapter
    return quantised + (model.in_linears * kept if on_cpu else 0)


def four_bit(own: dict[str, Any]) -> bool:
    return bool((own.get("quantization") or {}).get("load_in_4bit"))


def kept_by_trained(own: dict[str, Any]) -> int:
    """Bytes of a parameter that is trained: an adapter's are float32."""
    return 4 if own.get("peft") else BYTES[own["train"]["dtype"]]


def optimizer_bytes(own: dict[str, Any], runtime: dict[str, Any]) -> float:
    """Of a trained parameter: the optimizer's moments, and DeepSpeed's copy."""
    kept = kept_by_trained(own)
    # AdamW's two are of the parameter's type; bitsandbytes keeps them in float32, or in a byte each.
    moments = {"rmsprop": kept, "paged_adamw_32bit": 2 * FLOAT, "adamw_bnb_8bit": 2 * EIGHT_BITS}
    return moments.get(own["train"]["optim"], 2 * kept) + (kept if runtime["launch"] in ("zero2", "zero3") else 0)


def embedding_moments(model: Architecture, own: dict[str, Any]) -> float:
    """Bytes by which an embedding's moments are more: transformers excepts it from eight bits."""
    eight = own["train"]["optim"] == "adamw_bnb_8bit" and not own.get("peft")
    return model.embedding * 2 * (FLOAT - EIGHT_BITS) if eight else 0


def activations_of_token(model: Architecture, own: dict[str, Any], runtime: dict[str, Any]) -> float:
    """Bytes that a token leaves in all layers for the backward pass."""
    layer = layer_of_token(model, own, runtime)
    stream = 4 if own["train"]["bf16"] else BYTES[own["train"]["dtype"]]  # between layers
    last = norm_of_token(model, own)
    if runtime["activation_checkpointing"]:  # what goes into each layer, and one layer that is computed again
        return model.layers * model.hidden * stream + layer + last
    return model.layers * layer + last


def layer_of_token(model: Architecture, own: dict[str, Any], runtime: dict[str, Any]) -> float:
    """Bytes that a token leaves in one layer, tensor by tensor."""
    train, peft = own["train"], own.get("peft")
    computed = 2 if train["bf16"] else BYTES[train["dtype"]]
    queries = model.heads * model.head_dim
    ups = (3 if model.gated else 1) * model.active  # gate, its activation, up; or what one activation is of
    attention = 4 * queries * computed  # queries, keys and values (one for each query, where rows are padded), answers
    if runtime["attn_implementation"] == "eager":
        attention += model.heads * train["max_length"] * 4  # a softmax for each token and head
    mlp = ups * model.intermediate * computed
    down = model.intermediate * model.active
    once = 2 * model.hidden + down  # shared by queries, keys and values, and by gate and up
    copies = 5 * model.hidden + down  # autocast gives each matrix its own; the attention's answers are in its type
    inputs = copies * 2 if train["bf16"] else once * computed
    ranks = 0
    if peft:
        ranks = len(model.linears) * peft["r"] * kept_by_trained(own)  # between an adapter's two matrices
        if peft.get("lora_dropout"):  # another copy of what goes in, and its mask, for each
            into = sum(given for given, _ in model.linears.values())
            inputs += into * (kept_by_trained(own) + 1)
    return 2 * norm_of_token(model, own) + attention + mlp + inputs + ranks


def norm_of_token(model: Architecture, own: dict[str, Any]) -> float:
    """Bytes that a token leaves in a norm: what goes in, in float32 whatever the rest is in, and what comes out of it
    before the norm's weights, if they are trained."""
    normalised = 0 if own.get("peft") else 4 if own["train"]["bf16"] else BYTES[own["train"]["dtype"]]
    return (4 + normalised) * model.hidden


def logits_of(model: Architecture, own: dict[str, Any], tokens: int, on_cpu: bool) -> float:
    """Bytes of what becomes a loss: with what goes into the vocabulary's matrix, and the gradient that this gets."""
    if own["method"] == "reward":
        return 0
    besides = 4 * tokens * model.hidden + (0 if own.get("peft") else 4 * model.embedding)
    if own["method"] in WHOLE_LOGITS:
        return LOGITS_COPIES * 4 * tokens * model.vocabulary + besides
    tile = 4 * min(tokens, TILE_TOKENS) * (min(model.vocabulary, TILE_VOCABULARY) if on_cpu else TILE_VOCABULARY)
    return tile * (TILE_COPIES if on_cpu else 1) + besides
