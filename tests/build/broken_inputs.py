# ruff: noqa: E501
"""The table of refusals that only a job can make: rows and models, and the line that answers.

In `says`, … stands for any text.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class RefusedRows:
    """A fault in a file of rows, which only the job that reads them sees."""

    id: str
    rows: bytes
    says: str  # FILE is the file's name
    section: str = "data"
    said: str = "skip: 0"  # what else the source says
    form: str = "jsonl"

    @property
    def name(self) -> str:
        return self.id.replace(" ", "-")


@dataclass(frozen=True)
class RefusedModel:
    """A fault in what a model is made of, seen by the first stage that can, before any training."""

    id: str
    recipe: str  # what stands below models.<name>
    says: str
    stage: str
    template: str = ""

    @property
    def name(self) -> str:
        return self.id.replace(" ", "-")


# fmt: off
def lines(*rows: object) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def said(*turns: tuple[str, object]) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


GOOD = said(("user", "a"), ("assistant", "b"))
TEXT = {"text": "a"}
SAME = {"prompt": "a", "chosen": "b", "rejected": "b"}
PAIR = SAME | {"chosen": "c"}
LIKED = {"prompt": "a", "completion": "b", "label": True}
ROWS = [
    RefusedRows("no rows", b"", "FILE: gives no rows (it is empty)"),
    RefusedRows("missing column", lines(GOOD, {"words": "a"}), "FILE row 2: there is no column 'messages'; it has words. Map one with `columns: {theirs: messages}`"),
    RefusedRows("missing listed column", lines(GOOD), "FILE row 1: there is no column 'turns'; the row has messages", said="columns: [turns]"),
    RefusedRows("rows not in UTF-8", lines(GOOD) + b'{"messages": "\xff"}\n', "FILE:2: not UTF-8 (byte 0xff); save it as UTF-8"),
    RefusedRows("broken JSON", lines(GOOD, GOOD, '{"messages": ['), "FILE:3: not JSON: Expecting value"),
    RefusedRows("row that is a list", lines(GOOD, [1]), "FILE:2: a row is an object, not list"),
    RefusedRows("deep row", b"[" * 100_000, "FILE:1: not JSON: …"),
    RefusedRows("broken list", b'[{"messages": 1},\n\n}]', "FILE:3: not JSON: …", form="json"),
    RefusedRows("list of words", b'["a"]', "FILE: is a list of objects, one a row", form="json"),
    RefusedRows("no parquet", b"PAR1 is how it begins, and ends PAR1", "FILE: not parquet: …", form="parquet"),
    RefusedRows("ragged fields", b"prompt,chosen,rejected\na,b\n", "FILE row 1: has not as many fields as the header", "preferences", form="csv"),
    RefusedRows("unknown role", lines(GOOD, said(("human", "a"))), "FILE row 2: column 'messages': no role 'human'; there are system, user, assistant, tool"),
    RefusedRows("turn without a role", lines({"messages": [{"from": "user"}]}), "FILE row 1: column 'messages': a turn has a role and a content"),
    RefusedRows("empty content", lines(said(("user", "a"), ("assistant", " "))), "FILE: gives no rows (1 dropped: has an empty turn)"),
    RefusedRows("half a character", lines(said(("user", "a"), ("assistant", "\ud83d"))), r"FILE row 1: column 'messages': half a character (\ud800 to \udfff), which no file can hold"),
    RefusedRows("no turns", lines({"messages": []}), "FILE row 1: column 'messages': has no turns"),
    RefusedRows("no answer", lines(GOOD, said(("system", "a"))), "FILE row 2: column 'messages': there is no assistant turn to learn from, nor a user's to answer"),
    RefusedRows("a turn of no text", lines(said(("user", "a"), ("assistant", None))), "FILE row 1: column 'messages': what the assistant says is no text"),
    RefusedRows("empty text", lines({"text": " "}), "FILE: gives no rows (1 dropped: is empty)"),
    RefusedRows("a number for a text", lines({"text": 7}), "FILE row 1: column 'text': is no text"),
    RefusedRows("half a character of text", lines({"text": "\ud83d"}), r"FILE row 1: column 'text': half a character (\ud800 to \udfff), which no file can hold"),
    RefusedRows("text among conversations", lines(GOOD, TEXT), "FILE row 2: is a row of 'text', and the set's first row is one of 'messages'; make two sets, or keep one kind with `columns: [messages]`"),
    RefusedRows("a conversation among texts", lines(TEXT, TEXT, GOOD), "FILE row 3: is a row of 'messages', and the set's first row is one of 'text'; make two sets, or keep one kind with `columns: [text]`"),
    RefusedRows("turns for a dialogue", lines(GOOD), "FILE row 1: format hh_rlhf reads text in messages, chosen, rejected, and there is none in messages", said="format: hh_rlhf"),
    RefusedRows("no column of dialogues", lines(TEXT), "FILE row 1: format hh_rlhf reads text in messages, chosen, rejected, and there is none in text", said="format: hh_rlhf"),
    RefusedRows("dialogues of nobody", lines({"messages": "a"}, {"messages": "\n\nHuman: a\n\nAssistant:"}), "FILE: gives no rows (1 dropped: has an empty turn, 1 dropped: is no dialogue in which `Human:` and `Assistant:` take turns)", said="format: hh_rlhf"),
    RefusedRows("no column of questions", lines(GOOD), "FILE row 1: format questions reads a column `questions`, and there is none in messages", said="format: questions"),
    RefusedRows("a number for a question", lines({"questions": 7}), "FILE row 1: column 'questions': is neither a text nor a list of them", said="format: questions"),
    RefusedRows("more answers than questions", lines({"questions": "a", "answers": ["b", "c"]}), "FILE row 1: column 'answers': are 2, and the questions 1", said="format: questions"),
    RefusedRows("exchanges of a text", lines(TEXT), "FILE row 1: `exchanges` are those of a conversation, and the row is plain `text`", said="exchanges: 1"),
    RefusedRows("all skipped", lines(GOOD), "FILE: gives no rows (`skip: 9` leaves none)", said="skip: 9"),
    RefusedRows("all answers equal", lines(SAME, SAME), "FILE: gives no rows (2 dropped: chosen equals rejected)", "preferences"),
    RefusedRows("a completion among pairs", lines(PAIR, LIKED), "FILE row 2: is a row of 'completion', and the set's first row is one of 'chosen'; make two sets, or keep one kind with `columns: [prompt, chosen, rejected]`", "preferences"),
    RefusedRows("a label of words", lines(LIKED, LIKED | {"label": "good"}), "FILE row 2: column 'label': 'good': true (desirable) or false is wanted", "preferences"),
    RefusedRows("a completion without a label", lines({"prompt": "a", "completion": "b"}), "FILE row 1: there is no column 'label'; it has completion, prompt. Map one with `columns: {theirs: label}`", "preferences"),
    RefusedRows("a completion with its prompt", lines(LIKED | {"completion": GOOD["messages"]}), "FILE row 1: column 'completion': does not begin with what the assistant says; leave the prompt out", "preferences"),
    RefusedRows("answers to two prompts", lines({"chosen": said(("user", "a"), ("assistant", "b"))["messages"], "rejected": said(("user", "c"), ("assistant", "d"))["messages"]}), "FILE row 1: chosen and rejected do not answer one prompt: both begin with it, or neither", "preferences"),
]

NEW = "method: init, architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}"
TRAIN = "train: {learning_rate: 1e-3, batch_size: 8, max_length: 2}"
MODELS = [
    RefusedModel("answers without an end", f"{NEW}, template: TEMPLATE", "the chat template does not end an assistant's turn with the eos token '</s>': a model trained on it would never stop. Mend the template, or name its end token with `eos_token`", "make_tokenizer", "{% for m in messages %}{{ m.content }}{% endfor %}"),
    RefusedModel("an end that is not learnt", f"{NEW}, template: TEMPLATE", "the chat template leaves the eos token '</s>' out of what it marks as the assistant's: a model trained on answers only would never stop. Put it between {% generation %} and {% endgeneration %}", "make_tokenizer", "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{{ eos_token }}{% endfor %}"),
    RefusedModel("two beginnings", f"{NEW}, template: TEMPLATE", "the chat template adds '<s>' more than once; leave it to the tokenizer", "make_tokenizer", "{% for m in messages %}{{ bos_token + m.content + eos_token }}{% endfor %}"),
    RefusedModel("template that fails", f"{NEW}, template: TEMPLATE", "the chat template fails on a user's and an assistant's turn: 'text' is undefined", "make_tokenizer", "{% for m in messages %}{{ m.content + text }}{% endfor %}"),
    RefusedModel("unknown end", "extends: sft, eos_token: <|end|>", "eos_token '<|end|>' is not in the vocabulary; name it in `added_tokens` too", "make_tokenizer"),
    RefusedModel("unknown architecture", "method: init, architecture: {model_type: lama}", "architecture.model_type: transformers knows no 'lama'. Did you mean llama?", "init_model"),
    RefusedModel("unknown key of an architecture", "method: init, architecture: {model_type: llama, hiden_size: 32}", "architecture.hiden_size: no such key of llama. Did you mean hidden_size?", "init_model"),
    RefusedModel("an architecture that cannot be", "method: init, architecture: {model_type: llama, hidden_size: 32, num_attention_heads: 4, head_dim: 7}", "architecture: transformers makes no such llama: RoPE requires an even rotary dimension, but got `head_dim`=7…", "init_model"),
    RefusedModel("template that marks nothing", "extends: sft, base: plain, train: {assistant_only_loss: true}", "assistant_only_loss: the chat template does not mark what the assistant says; give the model a `template` with {% generation %}", "tokenize_rows"),
    RefusedModel("nothing left after the cut", "extends: dpo, train: {max_length: 1}", "preferences/pairs: no row is left of train.parquet (32 dropped: the prompt alone fills max_length); raise max_length, or give it other rows", "tokenize_rows"),
    RefusedModel("conversations for cpt", f"method: cpt, base: init, data: rows, {TRAIN}", "method cpt learns plain `text`, and the rows are conversations; say `method: sft`", "tokenize_rows"),
    RefusedModel("texts for sft", "extends: sft, data: texts", "method sft learns conversations, and the rows are plain `text`; say `method: cpt`", "tokenize_rows"),
    RefusedModel("single completions for dpo", "extends: dpo, preferences: liked", "the rows are single completions, each with a `label`, and pairs are wanted (prompt, chosen, rejected); say `method: kto`, which learns both, or name a set of pairs", "tokenize_rows"),
    RefusedModel("no template for a conversation", "extends: sft, base: bare", "the tokenizer has no chat template to put a conversation in; give the model a `template`", "tokenize_rows"),
    RefusedModel("pairs too long to score", f"method: reward, base: sft, preferences: pairs, {TRAIN}", "preferences/pairs: no row is left of train.parquet (32 dropped: one of the two is longer than max_length); raise max_length, or give it other rows", "tokenize_rows"),
    RefusedModel("unlike models in a mean", "method: linear, models: {bare: 0.5, init: 0.5}", "models/bare and models/init are not of one architecture: only one of them has model.layers.1.input_layernorm.weight", "average_models"),
    RefusedModel("batch larger than the rows", "extends: sft, train: {batch_size: 64}", "train.batch_size 64 is more than the 32 rows there are; lower it or add rows", "train_sft"),
]
# A base whose template marks no answers.
PLAIN = "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
# fmt: on
