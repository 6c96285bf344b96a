"""From rows to token ids: what TRL 1.16's trainers would make of them, made once, cut and counted."""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from posttrain.build.pool import spread
from posttrain.data.ledger import Ledger
from posttrain.data.rows import options_of
from posttrain.files import Refusal

IDS = pa.list_(pa.int32())
LABELLED = pa.schema([("input_ids", IDS), ("labels", IDS)])
SCHEMAS = {
    "cpt": LABELLED,
    "sft": LABELLED,
    "reward": pa.schema([("chosen_ids", IDS), ("rejected_ids", IDS)]),
    "dpo": pa.schema([("prompt_ids", IDS), ("chosen_ids", IDS), ("rejected_ids", IDS)]),
    "kto": pa.schema([("prompt_ids", IDS), ("completion_ids", IDS), ("KL_completion_ids", IDS), ("label", pa.bool_())]),
}
SEQ_LENGTHS = pa.field("seq_lengths", IDS)  # of the conversations in a packed row
IGNORED = -100  # what no loss sees, in torch's cross entropy
SHORTENED = "prompt shortened: the template renders it otherwise before an answer"


def tokenise(
    batches: Iterable[list[dict]], tokenizer_folder: Path, recipe: dict, processes: int
) -> Iterator[tuple[pa.Table, Ledger]]:
    """The tokens of each batch of rows, in their order, and what was cut or dropped.

    The number of processes changes no byte; a few batches a process are in memory at once.
    """
    return spread(partial(tokenise_batch, tokenizer_folder=tokenizer_folder, recipe=recipe), batches, processes)


def tokenise_batch(rows: list[dict], tokenizer_folder: Path, recipe: dict) -> tuple[pa.Table, Ledger]:
    tokenizer, method = open_tokenizer(tokenizer_folder), recipe["method"]
    check_fit(rows[0], tokenizer, method)
    rows = unpaired(rows) if method == "kto" else rows
    ledger = Ledger("rows")
    ledger.read = len(rows)
    if method == "kto":
        made = kto_tokens(rows, tokenizer, recipe, ledger)
    else:
        one = {"cpt": cpt_tokens, "sft": sft_tokens, "reward": reward_tokens, "dpo": dpo_tokens}[method]
        made = [tokens for row in rows if (tokens := one(row, tokenizer, recipe, ledger))]
    if not made:
        return schema_of(recipe).empty_table(), ledger
    return packed(pa.Table.from_pylist(made, SCHEMAS[method]), recipe), ledger


def check_fit(row: dict, tokenizer: PreTrainedTokenizerBase, method: str) -> None:
    """Raises: Refusal, if a method is given rows of another's kind, or no template to put a conversation in."""
    if method == "sft" and "messages" not in row:
        raise Refusal("method sft learns conversations, and the rows are plain `text`; say `method: cpt`")
    if method == "cpt" and "text" not in row:
        raise Refusal("method cpt learns plain `text`, and the rows are conversations; say `method: sft`")
    if method in ("reward", "dpo") and "label" in row:
        raise Refusal(
            "the rows are single completions, each with a `label`, and pairs are wanted (prompt, chosen, rejected); "
            "say `method: kto`, which learns both, or name a set of pairs"
        )
    if method != "cpt" and tokenizer.chat_template is None:
        raise Refusal("the tokenizer has no chat template to put a conversation in; give the model a `template`")


@cache
def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def schema_of(recipe: dict) -> pa.Schema:
    schema = SCHEMAS[recipe["method"]]
    return schema.append(SEQ_LENGTHS) if recipe.get("packing_strategy") == "bfd" else schema


def packed(table: pa.Table, recipe: dict) -> pa.Table:
    """Rows put together to rows of max_length by TRL itself, if the recipe has them packed.

    TRL packs a batch of rows at a time too: other batches make other tokens.
    """
    if "packing_strategy" not in recipe:
        return table
    from trl.data_utils import _pack_bfd, _pack_wrapped  # brings torch, which other tokens do without

    return {"bfd": _pack_bfd, "wrapped": _pack_wrapped}[recipe["packing_strategy"]](table, recipe["max_length"])


def room(ids: list[int], recipe: dict) -> int:
    """How many tokens of a row are kept: what is too long for a wrapped row goes on in the next."""
    return len(ids) if recipe.get("packing_strategy") == "wrapped" else recipe["max_length"]


def cpt_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict:
    """The ids of a text and its end."""
    text, eos = row["text"], tokenizer.eos_token
    ids = tokenizer(text if text.endswith(eos) else text + eos)["input_ids"]
    return labelled(ids, ids, recipe, ledger)


def sft_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict | None:
    """A conversation's ids, and the labels its loss is of: all tokens, or the assistant's, or the last answer's."""
    turns, assistant_only = row["messages"], recipe["assistant_only_loss"]
    if not any(turn["role"] == "assistant" for turn in turns):
        ledger.drop("there is no assistant turn to learn from", turns)
        return None
    completion_only = recipe.get("completion_only_loss", False)
    if completion_only and (len(turns) == 1 or turns[-1]["role"] != "assistant"):
        ledger.drop("the last turn is no answer of the assistant", turns)
        return None
    told = options_of(row)
    made = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=assistant_only, **told)
    ids = labels = made["input_ids"]
    if assistant_only:
        mask = made["assistant_masks"]
        if 1 not in mask:
            raise Refusal(
                "assistant_only_loss: the chat template does not mark what the assistant says; "
                "give the model a `template` with {% generation %}"
            )
        labels = [token if said else IGNORED for token, said in zip(ids, mask, strict=True)]
    if completion_only:
        told |= {"return_dict": True, "add_generation_prompt": True}
        prompt = tokenizer.apply_chat_template(turns[:-1], **told)["input_ids"]
        start = common_prefix(prompt, ids)
        labels = [IGNORED] * start + labels[start:]
    if all(label == IGNORED for label in labels[: room(ids, recipe)]):
        ledger.drop("nothing left to learn after the cut", turns)
        return None
    return labelled(ids, labels, recipe, ledger)


def labelled(ids: list[int], labels: list[int], recipe: dict, ledger: Ledger) -> dict:
    length = room(ids, recipe)
    if len(ids) > length:
        ledger.alter("cut to max_length")
    return {"input_ids": ids[:length], "labels": labels[:length]}


def reward_tokens(row: dict, tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> dict | None:
    """The ids of two whole conversations. One that is too long is not cut: its end is where a reward is read."""
    chosen, rejected = (
        tokenizer.apply_chat_template(row["prompt"] + row[answer], return_dict=True, **options_of(row))["input_ids"]
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
    prompt, (chosen, rejected), shortened = parted(tokenizer, row, "chosen", "rejected")
    left = recipe["max_length"] - len(prompt)
    if left <= 0:
        ledger.drop("the prompt alone fills max_length", row["prompt"])
        return None
    if chosen[:left] == rejected[:left]:
        ledger.drop("the answers are equal after the cut", row["prompt"])
        return None
    if shortened:
        ledger.alter(SHORTENED)
    if max(len(chosen), len(rejected)) > left:
        ledger.alter("cut to max_length")
    return {"prompt_ids": prompt, "chosen_ids": chosen[:left], "rejected_ids": rejected[:left]}


def unpaired(rows: list[dict]) -> list[dict]:
    """Rows of one completion each. Pairs are taken apart as TRL does it: first what was chosen, then the rest."""
    if "label" in rows[0]:
        return rows
    sides = (("chosen", True), ("rejected", False))
    return [row | {"completion": row[side], "label": label} for side, label in sides for row in rows]


def kto_tokens(rows: list[dict], tokenizer: PreTrainedTokenizerBase, recipe: dict, ledger: Ledger) -> list[dict]:
    """Each prompt's ids, those of its completion, and those of what was said to another prompt, for KTO's KL.

    That other completion is of the nearest row before it, of those of the batch; the last stands before the first.
    """
    fit, made = [], []
    for row in rows:
        prompt, (completion,), shortened = parted(tokenizer, row, "completion")
        if len(prompt) < recipe["max_length"]:
            fit.append((row, prompt, completion, shortened))
        else:
            ledger.drop("the prompt alone fills max_length", row["prompt"])
    for i, (row, prompt, completion, shortened) in enumerate(fit):
        before = (fit[i - back] for back in range(1, len(fit)))
        other = next((said for other, _, said, _ in before if other["prompt"] != row["prompt"]), None)
        if other is None:
            ledger.drop(
                "no other prompt in its batch of rows, of whose completion KTO could take the KL", row["prompt"]
            )
            continue
        left = recipe["max_length"] - len(prompt)
        if shortened:
            ledger.alter(SHORTENED)
        if len(completion) > left:
            ledger.alter("cut to max_length")
        kept = {"completion_ids": completion[:left], "KL_completion_ids": other[:left]}
        made.append({"prompt_ids": prompt, **kept, "label": row["label"]})
    return made


def parted(tokenizer: PreTrainedTokenizerBase, row: dict, *answers: str) -> tuple[list[int], list[list[int]], bool]:
    """The ids of a row's prompt and those of its answers, from where the first of them parts from the prompt.

    Third, whether that is before the prompt's end.
    """

    def ids(turns: list[dict], **options: bool) -> list[int]:
        return tokenizer.apply_chat_template(turns, return_dict=True, **options, **options_of(row))["input_ids"]

    alone = ids(row["prompt"], add_generation_prompt=True)
    whole = [ids(row["prompt"] + row[answer]) for answer in answers]
    start = min(common_prefix(alone, each) for each in whole)
    return alone[:start], [each[start:] for each in whole], start < len(alone)


def common_prefix(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def write(tables: Iterable[pa.Table], recipe: dict, path: Path) -> list[int]:
    """Write tokens as an Arrow stream, which every rank maps into memory as it is; how many a training computes of each
    row, which reads a prompt before each of its answers.
    """
    lengths = []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema_of(recipe)) as stream:
        for table in tables:
            stream.write_table(table)
            found = {
                name: pc.list_value_length(table[name]).to_numpy() for name in table.column_names if "_ids" in name
            }
            prompt = found.pop("prompt_ids", 0)
            lengths += sum(prompt + answer for answer in found.values()).tolist()
    return lengths
