"""Tokens: those that TRL's own trainers make of the same rows, whatever the number of shards; cuts are counted."""

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
import trl
from datasets import Dataset
from talks import ASSISTANT, TALK, USER, conversations, preferences, recipe, tokenise, tokenizer_of
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from conftest import checkout, rows, write_lines
from posttrain.data import tokens
from posttrain.data.ledger import Ledger
from posttrain.data.rows import BATCH, answers_of, conversation, prompt_of
from posttrain.files import file_digest, read_json
from posttrain.train import models
from posttrain.train.trainers.experimental import PairCollator


@pytest.fixture(params=["bytes", "zephyr"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return tokenizer_of(request.param)


@pytest.fixture
def folder(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> Path:
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def texts() -> list[dict]:
    """Plain texts of uneven lengths, one of which says its end itself."""
    said = [" ".join(turn["content"] for turn in row["messages"]) * (1 + i % 3) for i, row in enumerate(rows())]
    return [{"text": text} for text in [*said, "the end</s>", "é"]]


def write(rows: list[dict], recipe: dict, path: Path) -> None:
    tokens.write([pa.Table.from_pylist(rows, tokens.schema_of(recipe))], recipe, path)


def tiny_model(tokenizer: PreTrainedTokenizerBase) -> object:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    return models.init({"model_type": "llama", **sizes}, tokenizer, 0)


def settings(folder: Path) -> dict:
    return {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": "none"}


# Equal to TRL's


@pytest.mark.parametrize("only", [False, True], ids=["every token", "answers only"])
@pytest.mark.parametrize("max_length", [1000, 12], ids=["whole", "cut"])
def test_sft_tokens_are_those_of_trl(folder: Path, tmp_path: Path, only: bool, max_length: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ours, ledger = tokenise(conversations(), folder, recipe("sft", max_length, only))
    args = trl.SFTConfig(**settings(tmp_path), max_length=max_length, assistant_only_loss=only)
    trainer = trl.SFTTrainer(
        tiny_model(tokenizer), args, train_dataset=Dataset.from_list(conversations()), processing_class=tokenizer
    )
    theirs = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
    theirs = [row for row in theirs if set(row["labels"]) != {tokens.IGNORED}]  # TRL would train on nothing there
    assert ours == theirs
    assert (ledger.altered["cut to max_length"] > 0) == (max_length == 12)


def those_of_trl(rows: list[dict], folder: Path, args: trl.SFTConfig) -> list[dict]:
    """The rows as TRL's trainer prepares them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = Dataset.from_list(rows)
    trainer = trl.SFTTrainer(tiny_model(tokenizer), args, train_dataset=data, processing_class=tokenizer)
    columns = [name for name in trainer.train_dataset.column_names if name in (*tokens.LABELLED.names, "seq_lengths")]
    return trainer.train_dataset.select_columns(columns).to_list()


LABELS = {"every token": {}, "answers only": {"assistant_only_loss": True}, "last": {"completion_only_loss": True}}
LABELS["last answer"] = LABELS["answers only"] | LABELS["last"]


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
@pytest.mark.parametrize("only", [False, True], ids=["every token", "answers only"])
def test_rows_are_packed_as_trl_packs_them(folder: Path, tmp_path: Path, only: bool, strategy: str) -> None:
    """A thousand at a time, those that are over in a batch of their own."""
    said = conversations() * 30
    batches = [said[start : start + BATCH] for start in range(0, len(said), BATCH)]
    how = recipe("sft", 44, only, packing_strategy=strategy)
    made = list(tokens.tokenise(batches, folder, how, 1))
    ours = [row for table, _ in made for row in table.to_pylist()]
    args = trl.SFTConfig(
        **settings(tmp_path), max_length=44, assistant_only_loss=only, packing=True, packing_strategy=strategy
    )
    assert len(batches) == 2 and ours == those_of_trl(said, folder, args)
    assert ("seq_lengths" in ours[0]) == (strategy == "bfd")
    assert max(len(row["input_ids"]) for row in ours) == 44 and len(ours) < len(said)


@pytest.mark.parametrize("labels", LABELS.values(), ids=list(LABELS))
@pytest.mark.parametrize("packing", [{}, {"packing": True}], ids=["cut", "bfd"])
def test_the_last_answer_is_trls_completion(tmp_path: Path, labels: dict, packing: dict) -> None:
    tokenizer_of("bytes").save_pretrained(tmp_path / "tokenizer")
    how = recipe("sft", 16) | labels | ({"packing_strategy": "bfd"} if packing else {})
    ours, ledger = tokens_of(conversations(), tmp_path / "tokenizer", how)
    rows = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in conversations()]
    args = trl.SFTConfig(**settings(tmp_path), **{"completion_only_loss": False} | labels | packing, max_length=16)
    theirs = those_of_trl(rows, tmp_path / "tokenizer", args)
    last = "completion_only_loss" in labels
    if packing and last:  # TRL would train on nothing there, and packs it too
        ours, theirs = learnt(ours), learnt(theirs)
    assert ours and ours == theirs
    assert ("nothing left to learn after the cut" in ledger.dropped) == last


def learnt(rows: list[dict]) -> list[tuple]:
    """The conversations of packed rows of which something is learnt."""
    found = []
    for row in rows:
        ends = list(itertools.accumulate(row["seq_lengths"], initial=0))
        parts = [(row["input_ids"][a:b], row["labels"][a:b]) for a, b in itertools.pairwise(ends)]
        found += [part for part in parts if set(part[1]) != {tokens.IGNORED}]
    return sorted(found)


def tokens_of(rows: list[dict], folder: Path, how: dict) -> tuple[list[dict], Ledger]:
    """The tokens of rows in one batch, and what was cut or dropped."""
    ((table, ledger),) = tokens.tokenise([rows], folder, how, 1)
    return table.to_pylist(), ledger


@pytest.mark.parametrize("max_length", [1000, 14], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", ["pairs", "single"])
def test_kto_batches_are_those_of_trl(folder: Path, tmp_path: Path, kind: str, max_length: int) -> None:
    """The completion that is said to another prompt, too, where TRL takes it from the whole of our batch."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = preferences() if kind == "pairs" else single()
    ours, ledger = tokens_of(rows, folder, recipe("kto", max_length))
    args = trl.KTOConfig(**settings(tmp_path), max_length=max_length, per_device_train_batch_size=len(rows) * 2)
    both = {"model": tiny_model(tokenizer), "ref_model": tiny_model(tokenizer)}
    trainer = trl.KTOTrainer(args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, **both)
    columns = tokens.SCHEMAS["kto"].names
    theirs = trainer.train_dataset.select_columns(columns).to_list()
    if max_length == 1000:
        assert ours == theirs and not ledger.altered
    assert (ledger.altered["cut to max_length"] > 0) == (max_length == 14)
    assert ledger.kept == len(ours) and {row["label"] for row in ours} == {True, False}
    batches = [trainer.data_collator(made) for made in (ours, theirs)]
    assert all(batches[0][name].tolist() == batches[1][name].tolist() for name in batches[1])


def single() -> list[dict]:
    """Single completions, good and bad ones in no order."""
    pairs = [(row, ("chosen", "rejected")[i % 3 == 1]) for i, row in enumerate(preferences())]
    return [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"} for row, side in pairs]


@pytest.mark.parametrize("max_length", [1000, 14], ids=["whole", "cut"])
def test_dpo_batches_are_those_of_trl(folder: Path, tmp_path: Path, max_length: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ours, ledger = tokenise(preferences(), folder, recipe("dpo", max_length))
    args = trl.DPOConfig(**settings(tmp_path), max_length=max_length)
    both = {"model": tiny_model(tokenizer), "ref_model": tiny_model(tokenizer)}
    rows = Dataset.from_list(preferences())
    trainer = trl.DPOTrainer(args=args, train_dataset=rows, processing_class=tokenizer, **both)
    theirs = [
        {name: row[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in trainer.train_dataset
    ]
    if max_length == 1000:
        assert ours == theirs and not ledger.altered["cut to max_length"]
        return
    equal = [row for row in theirs if cut(row, max_length)["chosen_ids"] == cut(row, max_length)["rejected_ids"]]
    assert ledger.dropped.get("the answers are equal after the cut", {"count": 0})["count"] == len(equal)
    theirs = [row for row in theirs if row not in equal]  # pairs without a difference teach nothing
    ours_batch, theirs_batch = trainer.data_collator(ours), trainer.data_collator(theirs)
    assert ours and ours_batch.keys() == theirs_batch.keys()
    assert all(ours_batch[name].tolist() == theirs_batch[name].tolist() for name in ours_batch)


def cut(row: dict, length: int) -> dict:
    left = length - len(row["prompt_ids"])
    return {name: row[name][:left] for name in ("chosen_ids", "rejected_ids")}


@pytest.mark.parametrize("max_length", [1000, 12, 1], ids=["whole", "cut", "one"])
def test_cpt_tokens_are_those_that_trl_packs(folder: Path, tmp_path: Path, max_length: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (table, ledger), *_ = tokens.tokenise([texts()], folder, recipe("cpt", max_length), 1)
    args = trl.SFTConfig(**settings(tmp_path), max_length=max_length, packing=True, packing_strategy="wrapped")
    trainer = trl.SFTTrainer(
        tiny_model(tokenizer), args, train_dataset=Dataset.from_list(texts()), processing_class=tokenizer
    )
    theirs = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
    assert table.to_pylist() == theirs
    assert {len(row["input_ids"]) for row in theirs[:-1]} <= {max_length}
    assert (ledger.read, ledger.kept, dict(ledger.altered)) == (len(texts()), len(texts()), {})


def test_texts_are_packed_within_a_batch_of_rows(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bytes")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    made, _ = tokenise(texts(), tmp_path / "tokenizer", recipe("cpt", 16))
    batches = [texts()[start : start + 11] for start in range(0, len(texts()), 11)]
    lengths = [sum(len(tokenizer(row["text"])["input_ids"]) + 1 for row in batch) for batch in batches]
    lengths[-1] -= 1  # the one that says its end itself
    assert len(made) == sum(-(-length // 16) for length in lengths)


@pytest.mark.parametrize("max_length", [1000, 20], ids=["whole", "too long for some"])
def test_reward_tokens_are_those_of_trl(folder: Path, tmp_path: Path, max_length: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    equal = {"prompt": TALK[:4], "chosen": [TALK[4]], "rejected": [TALK[4]]}
    ours, ledger = tokenise([*preferences(), equal], folder, recipe("reward", max_length))
    config = tiny_model(tokenizer).config
    config.num_labels = 1
    model = AutoModelForSequenceClassification.from_config(config)
    args = trl.RewardConfig(**settings(tmp_path), max_length=max_length)
    pairs = Dataset.from_list(preferences())
    trainer = trl.RewardTrainer(model, args, train_dataset=pairs, processing_class=tokenizer)
    theirs = [{name: row[name] for name in ("chosen_ids", "rejected_ids")} for row in trainer.train_dataset]
    assert ours == theirs
    lost = {why: said["count"] for why, said in ledger.dropped.items()}
    if max_length == 20:
        assert lost == {"one of the two is longer than max_length": 1 + len(pairs) - len(theirs)}
    else:
        assert lost == {"the two are equal": 1}


def test_orpo_batches_are_those_of_trl(tmp_path: Path) -> None:
    """From DPO's tokens, in all that its loss reads."""
    tokenizer = tokenizer_of("bytes")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    ours, _ = tokenise(preferences(), tmp_path / "tokenizer", recipe("dpo"))
    args = ORPOConfig(**settings(tmp_path), max_length=1000)
    rows = Dataset.from_list(preferences())
    theirs = ORPOTrainer(tiny_model(tokenizer), args, train_dataset=rows, processing_class=tokenizer)
    batch = theirs.data_collator(list(theirs.train_dataset))
    ours = PairCollator(tokenizer.pad_token_id)(ours)
    begin = tokenizer.bos_token_id  # TRL adds one to any prompt; ours is what the template says, as for DPO
    assert all(row[0] == begin for row in batch["chosen_input_ids"].tolist())
    assert {name: ours[name].tolist() for name in ours} == {name: batch[name][:, 1:].tolist() for name in ours}


# The same bytes, however they are made


@pytest.mark.parametrize(("method", "most"), [("sft", 3), ("kto", 2), ("cpt", 2)])
def test_shards_change_no_byte(tmp_path: Path, method: str, most: int) -> None:
    tokenizer_of("bytes").save_pretrained(tmp_path / "tokenizer")
    read = {"cpt": texts, "sft": conversations, "kto": preferences}[method]()
    how = recipe(method, 14, **({"packing_strategy": "bfd"} if method == "sft" else {}))
    made = set()
    for shards in range(1, most + 1):
        found, ledger = tokenise(read, tmp_path / "tokenizer", how, shards)
        write(found, how, tmp_path / "tokens.arrow")
        made.add((file_digest(tmp_path / "tokens.arrow"), str(ledger.as_dict())))
    assert len(made) == 1


def test_no_rows_are_no_tokens(tmp_path: Path) -> None:
    assert tokenise([], tmp_path / "tokenizer", recipe("sft"), 3)[0] == []


def test_tokens_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    tokenizer_of("bytes").save_pretrained(tmp_path / "tokenizer")
    made, _ = tokenise(preferences(), tmp_path / "tokenizer", recipe("dpo"))
    write(made, recipe("dpo"), tmp_path / "tokens.arrow")
    assert Dataset.from_file(str(tmp_path / "tokens.arrow")).to_list() == made


# What is cut, dropped, refused


def test_what_is_cut_and_dropped_stands_in_the_ledger(tmp_path: Path) -> None:
    """Of six pairs one is whole, two are cut, one has a prompt too long, one is equal after the cut."""
    project = checkout(tmp_path / "p")

    def pair(prompt: str, chosen: str, rejected: str) -> dict:
        said = {"chosen": [ASSISTANT | {"content": chosen}], "rejected": [ASSISTANT | {"content": rejected}]}
        return {"prompt": [USER | {"content": prompt}], **said}

    made = [  # <|user|> and <|assistant|> are two of twelve tokens, </s> is one
        pair("abc", "123456", "12"),
        pair("abc", "12345678", "12"),
        pair("abc", "1", "123456789"),
        pair("abcdefghijkl", "1", "2"),
        pair("abc", "123456789", "12345678X"),
        pair("abc", "same", "same"),
    ]
    write_lines(project.path("pairs.jsonl"), made)
    project.edit(
        "learning_rate: 1e-3, batch_size: 8, max_length: 48", "learning_rate: 1e-3, batch_size: 2, max_length: 12"
    )
    project.make("-n", "models/micro-dpo")
    target = project.targets()["models/micro-dpo"]["inputs"]["tokens"]
    project.make(target)
    (entry,) = read_json(project.path(f"{target}/ledger.json"))["entries"]
    assert (entry["read"], entry["kept"], entry["altered"]) == (5, 3, {"cut to max_length": 2})
    assert entry["dropped"] == {
        "the answers are equal after the cut": {"count": 1, "examples": [{"prompt": "abc", "completions": []}]},
        "the prompt alone fills max_length": {"count": 1, "examples": [{"prompt": "abcdefghijkl", "completions": []}]},
    }
    (entry,) = read_json(project.path("preferences/micro-pairs/ledger.json"))["entries"]
    assert (entry["read"], entry["kept"]) == (6, 5)
    assert list(entry["dropped"]) == ["chosen equals rejected"]
    kept = Dataset.from_file(str(project.path(f"{target}/train.arrow"))).to_list()
    assert max(len(row["prompt_ids"]) + len(row[name]) for row in kept for name in ("chosen_ids", "rejected_ids")) == 12


def test_the_test_split_is_cut_and_never_packed(tmp_path: Path) -> None:
    project = checkout(tmp_path / "p")
    held_out = [*rows()[:4], {"messages": TALK}]
    write_lines(project.path("test.jsonl"), held_out)
    project.edit("{path: rows.jsonl}", "{path: rows.jsonl}\n    test:\n      - {path: test.jsonl}")
    project.edit("num_train_epochs: 1, max_length: 48", "num_train_epochs: 1, max_length: 30, packing: true")
    project.make("-n", "models/micro-sft")
    targets = project.targets()
    target = targets["models/micro-sft"]["inputs"]["tokens"]
    project.make(target)
    train, test = (Dataset.from_file(str(project.path(f"{target}/{split}.arrow"))) for split in ("train", "test"))
    folder = project.path(targets[target]["inputs"]["tokenizer"])
    assert test.to_list() == tokens_of(held_out, folder, recipe("sft", 30))[0]
    assert sum(map(len, train["seq_lengths"])) == len(rows()) > len(train)
    entries = read_json(project.path(f"{target}/ledger.json"))["entries"]
    assert [(entry["of"], entry["kept"]) for entry in entries] == [("rows", 32), ("test rows", 5)]
    assert [entry["altered"] for entry in entries] == [{}, {"cut to max_length": 1}]
    metrics = read_json(project.path(f"{target}.run.json"))["metrics"]
    assert (metrics["rows"], metrics["test_rows"]) == (len(train), 5)
    assert metrics["filled"] == sum(map(len, train["input_ids"])) / (30 * len(train)) > 0.5


def test_a_conversation_without_a_last_answer_is_dropped_where_only_that_is_learnt(tmp_path: Path) -> None:
    tokenizer_of("bytes").save_pretrained(tmp_path / "tokenizer")
    talks = [TALK, TALK[:4], TALK[4:]]
    made, ledger = tokens_of(
        [{"messages": talk} for talk in talks], tmp_path / "tokenizer", recipe("sft", completion_only_loss=True)
    )
    assert len(made) == 1 and ledger.losses() == "2 dropped: the last turn is no answer of the assistant"
    assert len(tokens_of([{"messages": talk} for talk in talks], tmp_path / "tokenizer", recipe("sft"))[0]) == 3


def completion(prompt: str, said: str, label: bool = True) -> dict:
    said = [ASSISTANT | {"content": said}]
    return {"prompt": [USER | {"content": prompt}], "completion": said, "label": label}


def test_kto_hears_beside_each_prompt_what_was_said_to_another(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bytes")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    said = [completion("a", "1"), completion("b", "22"), completion("b", "333"), completion("longest", "4444")]
    made, _ = tokens_of(said, tmp_path / "tokenizer", recipe("kto", 12))
    heard = [tokenizer.decode(row["KL_completion_ids"]) for row in made]
    assert heard == ["4444</s>", "1</s>", "1</s>", "333"]  # the last prompt has nine tokens


def test_completions_of_one_prompt_are_nothing_for_kto(tmp_path: Path) -> None:
    tokenizer_of("bytes").save_pretrained(tmp_path / "tokenizer")
    pair = {"prompt": TALK[:2], "chosen": [TALK[2]], "rejected": [TALK[4]]}
    made, ledger = tokens_of([pair], tmp_path / "tokenizer", recipe("kto"))
    assert made == []
    assert (
        ledger.losses() == "2 dropped: no other prompt in its batch of rows, of whose completion KTO could take the KL"
    )


def test_a_row_of_which_nothing_is_left_to_learn_is_dropped() -> None:
    ledger = Ledger("rows")
    row = {"messages": TALK[1:3]}  # <|user|>, two letters, <|assistant|>: the answer begins at the fifth token
    assert tokens.sft_tokens(row, tokenizer_of("bytes"), recipe("sft", 4, only=True), ledger) is None
    assert ledger.altered == {}, "what is dropped is not passed on"
    assert ledger.losses() == "1 dropped: nothing left to learn after the cut"
    assert (
        tokens.sft_tokens(row, tokenizer_of("bytes"), recipe("sft", 5, only=True), ledger)["labels"][:4] == [-100] * 4
    )


def test_a_prompt_without_an_answer_is_a_row_of_which_sft_learns_nothing() -> None:
    ledger, asked = Ledger("rows"), {"messages": TALK[:2]}
    assert conversation(asked, "here") == asked
    assert (prompt_of(asked), answers_of(asked)) == (TALK[:2], [])
    assert (prompt_of({"messages": TALK}), answers_of({"messages": TALK})) == (TALK[:4], TALK[4:])
    assert tokens.sft_tokens(asked, tokenizer_of("bytes"), recipe("sft"), ledger) is None
    assert ledger.losses() == "1 dropped: there is no assistant turn to learn from"
