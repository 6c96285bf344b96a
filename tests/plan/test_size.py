"""How large models are, against transformers' own count of tensors that take no memory."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from posttrain.data.tokenizer import of_bytes
from posttrain.plan import rehearsal, size

TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
FAMILIES = {
    "llama": TINY,
    "llama, tied, with biases": TINY | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "llama, wide heads": TINY | {"head_dim": 32, "num_key_value_heads": 4},
    "mistral": TINY,
    "mistral, head_dim": TINY | {"head_dim": 24},
    "mixtral": TINY | {"num_local_experts": 5, "num_experts_per_tok": 2},
    "qwen2": TINY,
    "qwen3": TINY | {"head_dim": 16, "attention_bias": True},
    "gemma": TINY | {"head_dim": 32},
    "gemma2": TINY | {"head_dim": 32},
    "gemma3_text": TINY | {"head_dim": 32},
    "smollm3": TINY | {"pad_token_id": None},
    "smollm3, with biases": TINY | {"pad_token_id": None, "attention_bias": True, "mlp_bias": True},
    "starcoder2": TINY,
    "starcoder2, no biases": TINY | {"use_bias": False, "tie_word_embeddings": False},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 300, "n_positions": 128},
    "gpt2, the other names": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "n_inner": 100},
}


def weightless(config: dict) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_are_counted_as_transformers_counts_them(name):
    config = {"model_type": name.split(",")[0], **FAMILIES[name]}
    assert size.architecture(config).parameters == weightless(config).num_parameters()


@pytest.mark.parametrize("kind", size.DEFAULTS)
def test_what_a_recipe_leaves_unsaid_is_what_transformers_fills_in(kind):
    filled = AutoConfig.for_model(kind).to_dict()
    assert size.architecture({"model_type": kind}) == size.architecture(filled)


@pytest.mark.parametrize("kind", size.DEFAULTS)
@pytest.mark.parametrize("said", [{}, {"num_key_value_heads": 8}], ids=["nothing", "grouped queries"])
def test_a_rehearsal_makes_small_what_a_recipe_leaves_unsaid(kind, said):
    made = rehearsal.tiny({"model_type": kind} | (said if kind != "gpt2" else {}))
    assert weightless({**made, "vocab_size": 300, "pad_token_id": None}).num_parameters() < 120_000


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "gpt2"])
@pytest.mark.parametrize("said", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_an_adapter_is_counted_as_peft_counts_it(name, said):
    config = {"model_type": name, **FAMILIES[name]}
    adapted = get_peft_model(weightless(config), LoraConfig(r=5, target_modules="all-linear", **said))
    counted, _ = adapted.get_nb_trainable_parameters()
    assert size.architecture(config).adapter({"r": 5, **said}) == counted


def test_an_adapter_of_some_matrices_is_counted():
    names = ["q_proj", "v_proj"]
    adapted = get_peft_model(weightless({"model_type": "llama", **TINY}), LoraConfig(r=3, target_modules=names))
    counted, _ = adapted.get_nb_trainable_parameters()
    assert size.architecture({"model_type": "llama", **TINY}).adapter({"r": 3, "target_modules": names}) == counted


def test_a_family_that_is_not_known_has_no_size():
    assert size.architecture({"model_type": "mamba", **TINY}) is None


def test_the_tokenizer_of_bytes_has_the_tokens_that_the_plan_counts():
    assert len(of_bytes()) == size.BYTE_TOKENS
