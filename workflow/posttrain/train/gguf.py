"""GGUF files (llama.cpp's), opened as ordinary models and tokenizers."""

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations.gguf import read_gguf_metadata
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from posttrain.files import Refusal
from posttrain.train.models import agree_on_ends

# How a file says that its merges were learnt, where transformers 5.23 splits every text as GPT-2's tokenizer does.
AS_GPT2 = ("default", "gpt-2")
DIGITS_APART = ("smollm",)  # each digit stands alone, then as GPT-2's


def open_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that a file describes, splitting text as its merges were learnt."""
    metadata, _ = read_gguf_metadata(str(file))
    split = metadata.get("tokenizer.ggml.pre", "default")
    if split not in (*AS_GPT2, *DIGITS_APART, *GGUF_PRE_TOKENIZER_SPLITS):
        raise Refusal(f"{file.name}: its tokenizer splits text as {split!r}, which transformers does not know")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if split in DIGITS_APART:
        digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    return tokenizer


def open_model(file: Path, tokenizer: PreTrainedTokenizerBase, dtype: str) -> PreTrainedModel:
    """The model of a file, its weights dequantised: packed blocks are neither trained nor saved."""
    unpack = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=getattr(torch, dtype), quantization_config=unpack
    )
    agree_on_ends(model.config, tokenizer)
    agree_on_ends(model.generation_config, tokenizer)
    return model
