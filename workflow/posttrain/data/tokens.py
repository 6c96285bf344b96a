"""From rows to token ids: what TRL 1.16's trainers would make of them, made once, cut and counted."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from posttrain.files import Refusal

IDS = pa.list_(pa.int32())
SCHEMAS = {
    "sft": pa.schema([("input_ids", IDS), ("labels", IDS)]),
    "dpo": pa.schema([("prompt_ids", IDS), ("chosen_ids", IDS), ("rejected_ids", IDS)]),
}
IGNORED = -100  # what no loss sees, in torch's cross entropy


def tokenise(rows: list[dict], tokenizer_folder: Path, recipe: dict, processes: int) -> tuple[list[dict], Counter]:
    """The tokens of rows in their order, and what was cut or dropped. The number of processes changes no byte."""
    size = max(-(-len(rows) // processes), 1)
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    work = partial(tokenise_chunk, tokenizer_folder=tokenizer_folder, recipe=recipe)
    if processes == 1:
        results = [work(chunk) for chunk in chunks]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(work, chunks))
    return [row for made, _ in results for row in made], sum((counts for _, counts in results), Counter())


def tokenise_chunk(rows: list[dict], tokenizer_folder: Path, recipe: dict) -> tuple[list[dict], Counter]:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    counts: Counter = Counter()
    one = {"sft": sft_tokens, "dpo": dpo_tokens}[recipe["method"]]
    made = [one(row, tokenizer, recipe, counts) for row in rows]
    return [row for row in made if row is not None], counts


def sft_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, counts: Counter) -> dict | None:
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
    counts["cut to max_length"] += len(ids) > length
    if all(label == IGNORED for label in labels[:length]):
        counts["dropped: nothing left to learn after the cut"] += 1
        return None
    return {"input_ids": ids[:length], "labels": labels[:length]}


def dpo_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, counts: Counter) -> dict | None:
    """A prompt's ids and those of its two answers, from where they part from the prompt."""

    def ids(turns: list[dict], **options: bool) -> list[int]:
        return tokenizer.apply_chat_template(turns, return_dict=True, **options)["input_ids"]

    prompt = ids(row["prompt"], add_generation_prompt=True)
    chosen, rejected = ids(row["prompt"] + row["chosen"]), ids(row["prompt"] + row["rejected"])
    start = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
    counts["prompt shortened: the template renders it otherwise before an answer"] += start < len(prompt)
    length = recipe["max_length"]
    if start >= length:
        counts["dropped: the prompt alone fills max_length"] += 1
        return None
    counts["cut to max_length"] += max(len(chosen), len(rejected)) > length
    chosen, rejected = chosen[start:length], rejected[start:length]
    if chosen == rejected:
        counts["dropped: the answers are equal after the cut"] += 1
        return None
    return {"prompt_ids": prompt[:start], "chosen_ids": chosen, "rejected_ids": rejected}


def common_prefix(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def write(rows: list[dict], method: str, path: Path) -> None:
    """Write tokens as an Arrow stream, which every rank maps into memory as it is."""
    table = pa.Table.from_pylist(rows, SCHEMAS[method])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)
