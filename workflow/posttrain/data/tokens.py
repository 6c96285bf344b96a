"""From rows to token ids: what TRL 1.16's trainers would make of them, made once, cut and counted."""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from posttrain.build.pool import spread
from posttrain.data.ledger import Ledger
from posttrain.files import Refusal

IDS = pa.list_(pa.int32())
LABELLED = pa.schema([("input_ids", IDS), ("labels", IDS)])
SCHEMAS = {
    "cpt": LABELLED,
    "sft": LABELLED,
    "reward": pa.schema([("chosen_ids", IDS), ("rejected_ids", IDS)]),
    "dpo": pa.schema([("prompt_ids", IDS), ("chosen_ids", IDS), ("rejected_ids", IDS)]),
}
IGNORED = -100  # what no loss sees, in torch's cross entropy


def tokenise(
    batches: Iterable[list[dict]], tokenizer_folder: Path, recipe: dict, processes: int
) -> Iterator[tuple[pa.Table, Ledger]]:
    """The tokens of each batch of rows, in their order, and what was cut or dropped.

    The number of processes changes no byte; a few batches a process are in memory at once.
    """
    return spread(partial(tokenise_batch, tokenizer_folder=tokenizer_folder, recipe=recipe), batches, processes)


def tokenise_batch(rows: list[dict], tokenizer_folder: Path, recipe: dict) -> tuple[pa.Table, Ledger]:
    tokenizer, method = open_tokenizer(tokenizer_folder), recipe["method"]
    ledger = Ledger("rows")
    ledger.read = len(rows)
    check_fit(rows[0], tokenizer, method)
    if method == "cpt":
        made = cpt_tokens(rows, tokenizer, recipe)
    else:
        one = {"sft": sft_tokens, "reward": reward_tokens, "dpo": dpo_tokens}[method]
        made = [tokens for row in rows if (tokens := one(row, tokenizer, recipe, ledger))]
    return pa.Table.from_pylist(made, SCHEMAS[method]), ledger


def check_fit(row: dict, tokenizer: PreTrainedTokenizerBase, method: str) -> None:
    """Raises: Refusal, if a method is given rows of another's kind, or no template to put a conversation in."""
    if method == "sft" and "messages" not in row:
        raise Refusal("method sft learns conversations, and the rows are plain `text`; say `method: cpt`")
    if method == "cpt" and "text" not in row:
        raise Refusal("method cpt learns plain `text`, and the rows are conversations; say `method: sft`")
    if method != "cpt" and tokenizer.chat_template is None:
        raise Refusal("the tokenizer has no chat template to put a conversation in; give the model a `template`")


@cache
def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def cpt_tokens(rows: list[dict], tokenizer: PreTrainedTokenizerBase, recipe: dict) -> list[dict]:
    """The ids of texts and their ends as one stream, in rows of max_length; the last has what is over.

    TRL's `wrapped` packing, which packs a batch of rows at a time too: other batches make other tokens.
    """
    eos, length = tokenizer.eos_token, recipe["max_length"]
    texts = (row["text"] if row["text"].endswith(eos) else row["text"] + eos for row in rows)
    stream = [token for text in texts for token in tokenizer(text)["input_ids"]]
    pieces = (stream[start : start + length] for start in range(0, len(stream), length))
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def sft_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict | None:
    """A conversation's ids, and the labels its loss is of: every token, or the assistant's alone."""
    only = recipe["assistant_only_loss"]
    made = tokenizer.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=only)
    ids, labels = made["input_ids"], made["input_ids"]
    if only:
        mask = made["assistant_masks"]
        if 1 not in mask:
            raise Refusal(
                "assistant_only_loss: the chat template does not mark what the assistant says; "
                "give the model a `template` with {% generation %}"
            )
        labels = [token if said else IGNORED for token, said in zip(ids, mask, strict=True)]
    length = recipe["max_length"]
    if all(label == IGNORED for label in labels[:length]):
        ledger.drop("nothing left to learn after the cut", row["messages"])
        return None
    if len(ids) > length:
        ledger.alter("cut to max_length")
    return {"input_ids": ids[:length], "labels": labels[:length]}


def reward_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict | None:
    """The ids of two whole conversations. One that is too long is not cut: its end is where a reward is read."""
    chosen, rejected = (
        tokenizer.apply_chat_template(row["prompt"] + row[answer], return_dict=True)["input_ids"]
        for answer in ("chosen", "rejected")
    )
    if max(len(chosen), len(rejected)) > recipe["max_length"]:
        ledger.drop("one of the two is longer than max_length", row["prompt"])
        return None
    if chosen == rejected:
        ledger.drop("the two are equal", row["prompt"])
        return None
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def dpo_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict | None:
    """A prompt's ids and those of its two answers, from where they part from the prompt."""

    def ids(turns: list[dict], **options: bool) -> list[int]:
        return tokenizer.apply_chat_template(turns, return_dict=True, **options)["input_ids"]

    prompt = ids(row["prompt"], add_generation_prompt=True)
    chosen, rejected = ids(row["prompt"] + row["chosen"]), ids(row["prompt"] + row["rejected"])
    start, length = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected)), recipe["max_length"]
    if start >= length:
        ledger.drop("the prompt alone fills max_length", row["prompt"])
        return None
    made = {"prompt_ids": prompt[:start], "chosen_ids": chosen[start:length], "rejected_ids": rejected[start:length]}
    if made["chosen_ids"] == made["rejected_ids"]:
        ledger.drop("the answers are equal after the cut", row["prompt"])
        return None
    if start < len(prompt):
        ledger.alter("prompt shortened: the template renders it otherwise before an answer")
    if max(len(chosen), len(rejected)) > length:
        ledger.alter("cut to max_length")
    return made


def common_prefix(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def write(tables: Iterable[pa.Table], method: str, path: Path) -> list[int]:
    """Write tokens as an Arrow stream, which every rank maps into memory as it is; the lengths of the rows."""
    lengths = []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, SCHEMAS[method]) as stream:
        for table in tables:
            stream.write_table(table)
            ids = [pc.list_value_length(table[name]).to_numpy() for name in table.column_names if name != "labels"]
            lengths += sum(ids).tolist()
    return lengths
