"""A judge that says one thing whatever it is asked: a Llama whose weights are set by hand."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from conftest import ROOT
from posttrain.data import tokenizer as tokenizers
from posttrain.recipes import template


def always(says: str, folder: Path) -> None:
    """Write a model that answers anything with these words.

    The words are a token of their own. Each token's embedding is one of two, this one's and all others', and no layer
    adds to it; the last matrix answers the one with the end, and the other with the words.
    """
    tokenizer = tokenizers.of_bytes()
    tokenizer.chat_template = template.read([ROOT / "config/templates"], "bytes")
    tokenizer.add_tokens([says])
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=2, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=4096, tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.model.norm.weight.fill_(1)
        words, end = tokenizer.convert_tokens_to_ids(says), tokenizer.eos_token_id
        model.get_input_embeddings().weight[:, 0] = 1
        model.get_input_embeddings().weight[words] = torch.tensor([0.0, 1.0])
        model.lm_head.weight[words, 0] = model.lm_head.weight[end, 1] = 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
