"""Templates, letter by letter: what they say, what is learnt of it, and those that are refused."""

import json
from pathlib import Path

import pytest
from talks import ASSISTANT, SYSTEM, TALK, conversations, preferences, recipe, tokenise, tokenizer_of
from transformers import PreTrainedTokenizerBase
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from conftest import ROOT
from posttrain.data import tokenizer as tokenizers
from posttrain.data import tokens
from posttrain.data.ledger import Ledger
from posttrain.files import Refusal
from posttrain.recipes import template

CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
    "<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nsure?<|im_end|>\n"
    "<|im_start|>assistant\nno é<|im_end|>\n"
)
SAID = "## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: /think\n\n## Custom Instructions\n\nBe brief."
# What a template makes of a talk, what is learnt of it, and what asks for one answer more.
GOLDEN = {
    "bytes": (
        "<|system|>Be brief.<|user|>hi<|assistant|>yes</s><|user|>sure?<|assistant|>no é</s>",
        ["yes</s>", "no é</s>"],
        "<|assistant|>",
    ),
    "zephyr": (
        "<|system|>\nBe brief.</s>\n<|user|>\nhi</s>\n<|assistant|>\nyes</s>\n"
        "<|user|>\nsure?</s>\n<|assistant|>\nno é</s>\n",
        ["yes</s>", "no é</s>"],
        "<|assistant|>\n",
    ),
    "chatml": (CHATML, ["yes<|im_end|>", "no é<|im_end|>"], "<|im_start|>assistant\n"),
    "gemma-chatml": ("<s>" + CHATML, ["yes<|im_end|>", "no é<|im_end|>"], "<|im_start|>assistant\n"),
    "smollm2": (CHATML, ["yes<|im_end|>", "no é<|im_end|>"], "<|im_start|>assistant\n"),
    "smollm3": (
        CHATML.replace("Be brief.", SAID),
        ["yes<|im_end|>", "no é<|im_end|>"],
        "<|im_start|>assistant\n",
    ),
    "gemma": (
        "<s><start_of_turn>user\nBe brief.\n\nhi<end_of_turn>\n<start_of_turn>model\nyes<end_of_turn>\n"
        "<start_of_turn>user\nsure?<end_of_turn>\n<start_of_turn>model\nno é<end_of_turn>\n",
        ["yes<end_of_turn>", "no é<end_of_turn>"],
        "<start_of_turn>model\n",
    ),
    "mistral-instruct": ("<s>[INST] hi [/INST]yes</s> [INST] sure? [/INST]no é</s> ", ["yes</s>", "no é</s>"], ""),
}


def turns_for(name: str) -> list[dict]:
    """The talk, without the system turn where a template takes none."""
    return TALK[1:] if name == "mistral-instruct" else TALK


def test_every_shipped_template_is_here() -> None:
    assert set(GOLDEN) == {path.stem for path in (ROOT / "config/templates").iterdir()}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_template_says_this_and_learns_that(name: str) -> None:
    text, learnt, asks = GOLDEN[name]
    tokenizer, talk = tokenizer_of(name), turns_for(name)
    row = tokens.sft_tokens({"messages": talk}, tokenizer, recipe("sft", only=True), Ledger("rows"))
    assert tokenizer.apply_chat_template(talk, tokenize=False) == tokenizer.decode(row["input_ids"]) == text
    assert tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) == text + asks
    assert answers(row, tokenizer) == learnt
    whole = tokens.sft_tokens({"messages": talk}, tokenizer, recipe("sft"), Ledger("rows"))
    assert whole == {"input_ids": row["input_ids"], "labels": row["input_ids"]}


def answers(row: dict, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The stretches that a row's loss is of."""
    said, before = [], tokens.IGNORED
    for label in row["labels"]:
        if label != tokens.IGNORED:
            said = [*said[:-1], [*said[-1], label]] if before != tokens.IGNORED else [*said, [label]]
        before = label
    return [tokenizer.decode(stretch) for stretch in said]


SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face."
TOOLS = """

## Tools

### XML Tools

Call a function by a JSON object with its name and arguments in <tool_call></tool_call>:
<tools>
{"name": "f"}
{"name": "g"}
</tools>

### Python Tools

Call a function by Python in <code></code>:
<tools>
def f(): ...
</tools>"""
# What SmolLM3 is told, the mode and the instructions that it reads then; the mode is None where the system turn is all.
MODES = {
    "nothing": (None, {}, "/think", SMOLLM),
    "not to think, in a system turn": ("Rhyme. /no_think", {}, "/no_think", "Rhyme."),
    "not to think, and no more": ("/no_think", {}, "/no_think", SMOLLM),
    "not to think, of a row": (None, {"enable_thinking": False}, "/no_think", SMOLLM),
    "to think after all": ("/think", {"enable_thinking": False}, "/think", SMOLLM),
    "instructions of a row": (None, {"custom_instructions": "Rhyme."}, "/think", "Rhyme."),
    "instructions of both": ("Sing.", {"custom_instructions": "Rhyme."}, "/think", "Sing."),
    "one's own system turn": ("Rhyme. /system_override", {}, None, "Rhyme."),
    "tools": (
        None,
        {"xml_tools": ['{"name": "f"}', '{"name": "g"}'], "python_tools": ["def f(): ..."]},
        "/think",
        SMOLLM + TOOLS,
    ),
}


@pytest.mark.parametrize("told", MODES)
def test_smollm3_answers_as_it_is_told(told: str) -> None:
    system, options, mode, instructions = MODES[told]
    turns = [*([SYSTEM | {"content": system}] if system else []), *TALK[1:3]]
    head = SAID.replace("/think", mode).replace("Be brief.", "") if mode else ""
    asked = f"<|im_start|>system\n{head}{instructions}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
    thought = "<think>\n\n</think>\n" if mode == "/no_think" else ""
    tokenizer = tokenizer_of("smollm3")
    told_row = {"messages": turns, "chat_template_kwargs": json.dumps(options)}
    row = tokens.sft_tokens(told_row, tokenizer, recipe("sft", only=True), Ledger("rows"))
    assert tokenizer.decode(row["input_ids"]) == f"{asked}<|im_start|>assistant\n{thought}yes<|im_end|>\n"
    assert answers(row, tokenizer) == [f"{thought}yes<|im_end|>"]
    prompt = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True, **options)
    assert prompt == f"{asked}<|im_start|>assistant\n{thought}"


def test_thoughts_that_an_answer_has_are_kept() -> None:
    said = [*TALK[1:2], ASSISTANT | {"content": "<think>\nhm\n</think>\nyes"}]
    for options in ({}, {"enable_thinking": False}):
        text = tokenizer_of("smollm3").apply_chat_template(said, tokenize=False, **options)
        assert text.endswith("<|im_start|>assistant\n<think>\nhm\n</think>\nyes<|im_end|>\n")


PUBLISHED = {
    # The Alignment Handbook's, as its YAML files have it.
    "zephyr": """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    # StarChat2's, of the same.
    "chatml": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    # SmolLM2-135M-Instruct's, as its GGUF file has it.
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("turns", [TALK, TALK[1:], TALK[:4], TALK[1:2]], ids=["talk", "no system", "asked", "one"])
@pytest.mark.parametrize("asks", [False, True], ids=["text", "prompt"])
def test_a_template_speaks_as_published(name: str, turns: list[dict], asks: bool) -> None:
    tokenizer, said = tokenizer_of(name), {"tokenize": False, "add_generation_prompt": asks}
    ours = tokenizer.apply_chat_template(turns, **said)
    assert ours == tokenizer.apply_chat_template(turns, **said, chat_template=PUBLISHED[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_a_prompt_is_where_its_answer_begins(name: str) -> None:
    tokenizer, asked = tokenizer_of(name), turns_for(name)[:-1]
    ledger = Ledger("rows")
    row = tokens.dpo_tokens(preferences()[-1] | {"prompt": asked}, tokenizer, recipe("dpo"), ledger)
    assert not ledger.altered and not ledger.dropped
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(row["prompt_ids"]) == text
    assert tokenizer.decode(row["chosen_ids"]).rstrip() == f"no é{tokenizer.eos_token}"


def test_an_end_that_is_the_pad_too_is_learnt_and_no_pad_is(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("smollm2")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    end = tokenizer.eos_token_id
    made, _ = tokenise(conversations(), tmp_path / "tokenizer", recipe("sft", only=True))
    batch = DataCollatorForLanguageModeling(end)(made)
    said = sum(turn["role"] == "assistant" for row in conversations() for turn in row["messages"])
    assert batch["attention_mask"].min() == 0 and (batch["labels"] == end).sum() == said
    made, _ = tokenise(preferences(), tmp_path / "tokenizer", recipe("dpo"))
    batch = DataCollatorForPreference(end)(made)
    learnt = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, tokens.IGNORED)
    assert batch["attention_mask"].min() == 0 and (learnt == end).sum(1).tolist() == [1] * len(learnt)


@pytest.mark.parametrize("mark", ["{% generation %}", "{%- generation -%}", "{%+ generation +%}", "{%generation%}"])
def test_answers_are_marked_however_space_is_cut(mark: str) -> None:
    tokenizer = tokenizer_of("bytes")
    before = tokenizer.chat_template
    tokenizer.chat_template = before.replace("{%- generation -%}", mark)
    assert (tokenizer.chat_template == before) == (mark == "{%- generation -%}")
    assert template.marks_answers(tokenizer.chat_template)
    made = tokenizers.render(tokenizer, TALK)
    learnt = [token for token, marked in zip(made["input_ids"], made["assistant_masks"], strict=True) if marked]
    assert tokenizer.decode(learnt) == "yes</s>no é</s>"


def test_answers_that_no_template_marks_are_refused() -> None:
    made = tokenizer_of("bytes")
    made.chat_template = made.chat_template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    with pytest.raises(Refusal, match="the chat template does not mark what the assistant says"):
        tokens.sft_tokens({"messages": TALK}, made, recipe("sft", only=True), Ledger("rows"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("+ eos_token", ""), "does not end an assistant's turn with the eos token '</s>'"),
        (("{%- for", "{{- bos_token + bos_token -}}{%- for"), "adds '<s>' more than once"),
    ],
    ids=["no end", "two begins"],
)
def test_a_template_that_teaches_no_end_is_refused(change: tuple[str, str], said: str) -> None:
    made = tokenizer_of("bytes")
    made.chat_template = made.chat_template.replace(*change, 1)
    with pytest.raises(Refusal, match=said):
        tokenizers.check(made)


ROLE = "<|{{ m.role }}|>"
ENDS = {
    "an end before the answer": ROLE + "{{ eos_token + m.content }}",
    "an end of the last answer alone": ROLE + "{{ m.content }}{% if loop.last %}{{ eos_token }}{% endif %}",
    "an end of the first answer alone": ROLE + "{{ m.content }}{% if not loop.last %}{{ eos_token }}{% endif %}",
    "an end after the next question": ROLE + "{{ m.content }}{% if m.role == 'user' %}{{ eos_token }}{% endif %}",
    "an end after more text": ROLE + "{{ m.content }} Over.{{ eos_token }}",
}
OUTSIDE = {
    "an end after what is marked": ROLE + "{% generation %}{{ m.content }}{% endgeneration %}{{ eos_token }}",
    "an end before what is said": ROLE
    + "{%- generation -%}{{ eos_token + m.content }}{%- endgeneration -%}{{ eos_token }}",
}


@pytest.mark.parametrize("turn", [*ENDS.values(), *OUTSIDE.values()], ids=[*ENDS, *OUTSIDE])
def test_every_answer_ends_with_an_end_that_is_learnt(turn: str) -> None:
    made = tokenizers.of_bytes()
    made.chat_template = "{% for m in messages %}" + turn + "{% endfor %}"
    said = "leaves the eos token '</s>' out of what it marks" if turn in OUTSIDE.values() else "does not end an"
    with pytest.raises(Refusal, match=said):
        tokenizers.check(made)


def test_space_may_stand_before_an_end() -> None:
    made = tokenizers.of_bytes()
    made.chat_template = (
        "{% for m in messages %}{% generation %}{{ m.content + '\n' + eos_token }}{% endgeneration %}{% endfor %}"
    )
    tokenizers.check(made)


def test_markers_that_are_no_tokens_are_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Zephyr's are none of Mistral's, and it was trained so: a word, not a refusal."""
    made = tokenizer_of("zephyr")
    assert capsys.readouterr().out == ""
    made.chat_template = made.chat_template.replace("|assistant|", "|model|").replace("'<|' +", "'[INST]<|' +")
    tokenizers.check(made)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("the chat template's <|model|>, [INST] are no tokens of the tokenizer")
    tokenizers.add_tokens(made, ["<|model|>", "[INST]"], None)
    tokenizers.check(made)
    assert capsys.readouterr().out == ""


def test_an_added_token_is_one_token_that_may_end_an_answer() -> None:
    made = tokenizers.of_bytes()
    length = len(made)
    tokenizers.add_tokens(made, ["<|im_start|>", "<|im_end|>"], "<|im_end|>")
    assert len(made) == length + 2
    assert made.encode("a<|im_end|>b")[1] == made.eos_token_id == length + 1
    assert set(made.all_special_tokens) >= {"<|user|>", "<|im_start|>"}  # those it had before stay special
    with pytest.raises(Refusal, match="eos_token '<|eot|>' is not in the vocabulary"):
        tokenizers.add_tokens(made, [], "<|eot|>")
