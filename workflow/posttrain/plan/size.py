"""How large a model is, by its configuration alone: families like Llama, and GPT-2 and StarCoder2. Imports no torch."""

from dataclasses import dataclass
from typing import Any

NF4_BITS = 4.127  # of a weight: 4, and its block's share (64 weights) of a scale that is itself quantised in 8 bits
NF4_BITS_SINGLY = 4.5  # the scale kept as a float
BYTE_TOKENS = 262  # of the tokenizer `bytes`
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    head_dim: int
    intermediate: int
    tied: bool  # one matrix embeds tokens and says them
    linears: dict[str, tuple[int, int]]  # of a layer, by name: what each takes in and gives out
    vectors: int = 0  # of a layer: norms, biases, what routes to experts
    outside: int = 0  # of no layer: the last norm, learnt positions
    expert: int = 0  # weights of a layer's experts
    experts: int = 1
    active: int = 1  # experts that a token goes through
    gated: bool = True  # its MLP multiplies two projections

    @property
    def in_linears(self) -> int:
        """Weights of the matrices that an adapter may adapt and 4-bit weights replace."""
        return self.layers * sum(given * made for given, made in self.linears.values())

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        outside = self.embedding * (1 if self.tied else 2) + self.outside
        return outside + self.in_linears + self.layers * (self.vectors + self.expert)

    @property
    def used(self) -> int:
        """Weights that a token is multiplied with: of its experts' those it is sent to, and to embed it none."""
        idle = self.layers * self.expert * (self.experts - self.active) // self.experts
        return self.parameters - idle - (0 if self.tied else self.embedding)

    @property
    def layer(self) -> int:
        """Weights of one layer."""
        return self.in_linears // self.layers + self.vectors + self.expert

    def adapter(self, peft: dict[str, Any]) -> int:
        """Parameters of a LoRA adapter of all its layers."""
        wanted = peft.get("target_modules") or "all-linear"
        ends = {name: {name, name.rpartition(".")[2]} for name in self.linears}
        shapes = [self.linears[name] for name in ends if wanted == "all-linear" or ends[name] & set(wanted)]
        magnitudes = sum(made for _, made in shapes) if peft.get("use_dora") else 0
        return self.layers * (sum(peft["r"] * (given + made) for given, made in shapes) + magnitudes)


# What transformers 5.23 fills in for a configuration that does not say.
COMMON = {"attention_bias": False, "mlp_bias": False, "head_dim": None, "num_key_value_heads": None}


def defaults(*sizes: int, tied: bool = False, **more: Any) -> dict[str, Any]:
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return {**COMMON, **dict(zip(names, sizes, strict=True)), "tie_word_embeddings": tied, **more}


DEFAULTS = {
    "llama": defaults(32000, 4096, 11008, 32, 32),
    "mistral": defaults(32000, 4096, 14336, 32, 32, num_key_value_heads=8),
    "mixtral": defaults(
        32000, 4096, 14336, 32, 32, num_key_value_heads=8, num_local_experts=8, num_experts_per_tok=2
    ),
    "qwen2": defaults(151936, 4096, 22016, 32, 32, num_key_value_heads=32),
    "qwen3": defaults(151936, 4096, 22016, 32, 32, num_key_value_heads=32, head_dim=128),
    "gemma": defaults(256000, 3072, 24576, 28, 16, tied=True, num_key_value_heads=16, head_dim=256),
    "gemma2": defaults(256000, 2304, 9216, 26, 8, tied=True, num_key_value_heads=4, head_dim=256),
    "gemma3_text": defaults(262208, 2304, 9216, 26, 8, tied=True, num_key_value_heads=4, head_dim=256),
    "smollm3": defaults(128256, 2048, 11008, 36, 16, tied=True, num_key_value_heads=4),
    "starcoder2": defaults(49152, 3072, 12288, 30, 24, tied=True, num_key_value_heads=2, use_bias=True),
    "gpt2": {
        "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None, "n_positions": 1024,
        "tie_word_embeddings": True,
    },
}  # fmt: skip
# transformers' other names of GPT-2's sizes
GPT2 = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
GPT2 |= {"max_position_embeddings": "n_positions"}
NORMS = {"gemma2": 4, "gemma3_text": 4}  # of a layer; others have two
NORMED_HEADS = ("qwen3", "gemma3_text")  # queries and keys have norms of their own


def architecture(config: dict[str, Any]) -> Architecture | None:
    """What a config.json, or a recipe's `architecture`, describes; None if its family is not known here."""
    kind = config.get("model_type")
    if kind not in DEFAULTS:
        return None
    said = {**DEFAULTS[kind], **{name: value for name, value in config.items() if value is not None}}
    return gpt2(said) if kind == "gpt2" else like_llama(kind, said)


def like_llama(kind: str, said: dict[str, Any]) -> Architecture:
    hidden, inner, heads = said["hidden_size"], said["intermediate_size"], said["num_attention_heads"]
    keys = said["num_key_value_heads"] or heads
    head_dim = said["head_dim"] or hidden // heads
    queries, values = heads * head_dim, keys * head_dim
    linears = {
        "q_proj": (hidden, queries), "k_proj": (hidden, values), "v_proj": (hidden, values), "o_proj": (queries, hidden)
    }  # fmt: skip
    norms, expert, experts, active = NORMS.get(kind, 2), 0, 1, 1
    vectors = norms * hidden + (2 * head_dim if kind in NORMED_HEADS else 0)
    last = hidden
    if kind == "mixtral":
        experts, active = said["num_local_experts"], said["num_experts_per_tok"]
        expert = experts * 3 * hidden * inner
        vectors += experts * hidden
    elif kind == "starcoder2":
        linears |= {"c_fc": (hidden, inner), "c_proj": (inner, hidden)}
        vectors, last = vectors + norms * hidden, 2 * hidden  # norms with a bias
        if said["use_bias"]:
            vectors += sum(made for _, made in linears.values())
    else:
        linears |= {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
    if kind == "qwen2":
        vectors += queries + 2 * values
    elif said["attention_bias"]:
        vectors += queries + 2 * values + hidden
    if kind in ("llama", "smollm3") and said["mlp_bias"]:
        vectors += 2 * inner + hidden
    return Architecture(
        said["vocab_size"], hidden, said["num_hidden_layers"], heads, head_dim, inner, said["tie_word_embeddings"],
        linears, vectors, last, expert, experts, active, gated=kind != "starcoder2",
    )  # fmt: skip


def gpt2(said: dict[str, Any]) -> Architecture:
    said = said | {ours: said[theirs] for theirs, ours in GPT2.items() if theirs in said}
    hidden, inner = said["n_embd"], said["n_inner"] or 4 * said["n_embd"]
    linears = {
        "attn.c_attn": (hidden, 3 * hidden), "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (hidden, inner), "mlp.c_proj": (inner, hidden),
    }  # fmt: skip
    vectors = 4 * hidden + sum(made for _, made in linears.values())
    return Architecture(
        said["vocab_size"], hidden, said["n_layer"], said["n_head"], hidden // said["n_head"], inner,
        said["tie_word_embeddings"], linears, vectors, 2 * hidden + said["n_positions"] * hidden, gated=False,
    )  # fmt: skip
