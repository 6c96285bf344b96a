"""Sets of rows: what is taken of each source, what is left out and why, and in which order it stands."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, concatenate_datasets, load_from_disk

from conftest import Project, write_lines
from posttrain.data import rows
from posttrain.data.filters import Benchmarks, Filters, words_of
from posttrain.data.spool import Spool

PAGE = "config/recipes/micro.yaml"


def text(i: int, of: str = "row") -> dict:
    return {"text": f"{of} {i}", "kind": "even" if i % 2 == 0 else "odd", "n": i}


def mixed(project: Project, recipe: str, *more: str) -> tuple[list[str], list[dict]]:
    """The texts of `data/set`, and its ledger's entries."""
    page = "data:\n  set:\n" + "".join(f"    {line}\n" for line in recipe.splitlines()) + "".join(more)
    project.path(PAGE).write_text(page)
    project.make("data/set")
    ledger = json.loads(project.path("data/set/ledger.json").read_text())["entries"]
    return texts(project), ledger


def texts(project: Project, split: str = "train") -> list[str]:
    return [row["text"] for row in rows.read(project.path(f"data/set/{split}.parquet"))]


@pytest.fixture
def lab(fresh: Project) -> Project:
    """A checkout with twenty rows of a and thirty of b."""
    write_lines(fresh.path("a.jsonl"), [text(i, "a") for i in range(20)])
    write_lines(fresh.path("b.jsonl"), [text(i, "b") for i in range(30)])
    return fresh


SOURCES = "sources:\n  - {path: a.jsonl, columns: [text], weight: 0.33}\n  - {path: b.jsonl, columns: [text]}\n"


def test_the_handbook_of_2023_takes_the_first_rows_and_shuffles_the_set(lab):
    a, b = (Dataset.from_list([text(i, of) for i in range(n)]) for of, n in (("a", 20), ("b", 30)))
    theirs = concatenate_datasets([a.select(range(int(0.33 * 20))), b]).shuffle(seed=42)
    assert mixed(lab, SOURCES + "seed: 42")[0] == theirs["text"][:]


def test_the_handbook_of_2025_shuffles_each_source_first(lab):
    a, b = (Dataset.from_list([text(i, of) for i in range(n)]) for of, n in (("a", 20), ("b", 30)))
    taken = a.shuffle(seed=0).select(range(int(0.33 * 20)))
    theirs = concatenate_datasets([taken, b.shuffle(seed=0)]).shuffle(seed=0)
    assert mixed(lab, SOURCES + "take: shuffled\nseed: 0")[0] == theirs["text"][:]


def test_without_a_seed_sources_stand_one_after_the_other(lab):
    assert mixed(lab, SOURCES)[0] == [f"a {i}" for i in range(6)] + [f"b {i}" for i in range(30)]


def test_rows_are_chosen_by_a_column_before_they_are_counted(lab):
    recipe = "sources:\n  - {path: a.jsonl, where: {kind: odd, n: [1, 5, 9, 8]}, skip: 1, rows: 2, columns: [text]}"
    found, (ledger,) = mixed(lab, recipe)
    assert found == ["a 5", "a 9"]
    assert ledger["dropped"]["not of `where`"]["count"] == 7, "up to the last that was taken"


def test_doubles_are_left_out_and_those_of_the_test_split_too(lab):
    write_lines(lab.path("held.jsonl"), [text(i, "b") for i in (3, 4)])
    write_lines(lab.path("c.jsonl"), [text(0, "b"), text(3, "b"), text(0, "c")])
    recipe = "sources:\n  - {path: b.jsonl, columns: [text]}\n  - {path: c.jsonl, columns: [text]}\n"
    found, ledger = mixed(lab, recipe + "test:\n  - {path: held.jsonl, columns: [text]}\ndeduplicate: rows")
    assert found == [*(f"b {i}" for i in range(30) if i not in (3, 4)), "c 0"]
    assert texts(lab, "test") == ["b 3", "b 4"]
    assert [entry["kept"] for entry in ledger] == [28, 1, 2]
    assert ledger[0]["dropped"] == {
        "is there already, before it or in test": {
            "count": 2,
            "examples": [{"prompt": said, "completions": []} for said in ("b 3", "b 4")],
        }
    }


def test_rows_too_short_or_too_long_are_left_out(lab):
    recipe = "sources:\n  - {path: b.jsonl, columns: [text]}\nlengths: {min_chars: 4, max_chars: 4}\n"
    assert mixed(lab, recipe)[0] == [f"b {i}" for i in range(10, 30)]


def test_rows_that_hold_text_of_a_benchmark_are_left_out(lab):
    write_lines(lab.path("bench.jsonl"), [{"text": "Now: one two three four five six?"}, {"text": "too short"}])
    held = {"text": "He said, ONE two, three four five six seven"}
    write_lines(lab.path("c.jsonl"), [held, held, {"text": "one two three"}])
    bench = "  bench:\n    sources:\n      - {path: bench.jsonl}\n"
    recipe = "sources:\n  - {path: c.jsonl}\ndecontaminate: {against: [bench], ngram: 6}"
    found, (ledger, of_bench) = mixed(lab, recipe, bench)
    assert found == ["one two three"]
    assert ledger["dropped"]["holds 6 words in a row of bench"]["count"] == 2
    assert of_bench["dropped"]["fewer than 6 words"]["count"] == 1


def test_a_row_that_a_benchmark_takes_leaves_the_one_that_was_its_double():
    filters = Filters({"lengths": None, "deduplicate": "prompts"}, {})
    filters.benchmarks = Benchmarks(2)
    filters.benchmarks.add("b", [{"text": "alpha beta"}])
    asked = {"role": "user", "content": "Which?"}
    held, other = ({"messages": [asked, {"role": "assistant", "content": said}]} for said in ("Alpha beta.", "Gamma."))
    assert [filters.why_not(row, "train") for row in (held, other)] == ["holds 2 words in a row of b", None]


def test_words_are_found_whatever_stands_between_them():
    benchmarks = Benchmarks(3)
    benchmarks.add("b", [{"text": "Alpha, beta-gamma"}])
    assert benchmarks.held_by({"messages": [{"role": "user", "content": "x ALPHA  beta: Gamma y"}]}) == "b"
    assert benchmarks.held_by({"text": "alpha beta x gamma"}) is None
    assert words_of("Don't stop_it") == ["don", "t", "stop_it"]


def test_a_set_is_made_of_another_and_of_a_saved_dataset(lab):
    saved = {"train": Dataset.from_list([text(0, "s")]), "held": Dataset.from_list([text(1, "s"), text(2, "s")])}
    DatasetDict(saved).save_to_disk(lab.path("saved"))
    assert load_from_disk(lab.path("saved")).keys() == saved.keys()
    other = "  other:\n    sources:\n      - {path: a.jsonl, rows: 2, columns: [text]}\n"
    recipe = "sources:\n  - {target: data/other}\n  - {path: saved, split: held, columns: [text]}"
    assert mixed(lab, recipe, other)[0] == ["a 0", "a 1", "s 1", "s 2"]


def test_more_rows_than_fit_a_group_keep_their_order(lab):
    write_lines(lab.path("a.jsonl"), [text(i, "a") for i in range(10_500)])
    recipe = "sources:\n  - {path: a.jsonl, columns: [text]}"
    assert mixed(lab, recipe)[0] == [f"a {i}" for i in range(10_500)]
    first = lab.path("data/set/train.parquet").read_bytes()
    lab.forget("data/set")
    lab.make("data/set")
    assert lab.path("data/set/train.parquet").read_bytes() == first, "equal rows make equal bytes"


def test_rows_are_taken_in_order_from_files_that_no_array_could_hold(tmp_path):
    """Arrow's own `take` joins a column first, and of strings that ends at two gigabytes."""
    large, path = Spool(tmp_path / "spool"), tmp_path / "rows.parquet"
    places = [large.add({"text": f"{i} " + "x" * (1 << 20)}) for i in range(2100)]
    assert places == list(range(2100))
    large.write(np.array([2099, 3, 1000, 0]), path)
    assert [row["text"].split()[0] for row in rows.read(path)] == ["2099", "3", "1000", "0"]


def test_what_a_row_tells_its_template_is_kept_with_it(fresh):
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    write_lines(
        fresh.path("k.jsonl"), [{"messages": said, "chat_template_kwargs": {"b": None, "think": True, "a": [1]}}]
    )
    fresh.path(PAGE).write_text("data:\n  set:\n    sources:\n      - {path: k.jsonl}\n")
    fresh.make("data/set")
    (row,) = rows.read(fresh.path("data/set/train.parquet"))
    assert row["chat_template_kwargs"] == '{"a": [1], "think": true}'


def test_a_saved_file_of_a_folder_is_part_of_what_the_set_is(lab):
    Dataset.from_list([text(0, "s")]).save_to_disk(lab.path("saved"))
    recipe = "sources:\n  - {path: saved, columns: [text]}"
    assert mixed(lab, recipe)[0] == ["s 0"]
    Dataset.from_list([text(1, "s")]).save_to_disk(lab.path("other"))
    for file in sorted(Path(lab.path("other")).iterdir()):
        lab.path(f"saved/{file.name}").write_bytes(file.read_bytes())
    assert mixed(lab, recipe)[0] == ["s 1"]


def test_an_empty_turn_costs_its_row_and_no_more(lab):
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    silent, unasked = [talk[0], talk[1] | {"content": " "}], [talk[0] | {"content": ""}, talk[1]]
    unguided = [{"role": "system", "content": ""}, *talk]  # as some published sets have it
    write_lines(lab.path("talks.jsonl"), [{"messages": said} for said in (talk, silent, unasked, unguided)])
    lab.path(PAGE).write_text("data:\n  set:\n    sources:\n      - {path: talks.jsonl}\n")
    lab.make("data/set")
    assert [row["messages"] for row in rows.read(lab.path("data/set/train.parquet"))] == [talk, unguided]
    (entry,) = json.loads(lab.path("data/set/ledger.json").read_text())["entries"]
    assert {why: said["count"] for why, said in entry["dropped"].items()} == {"has an empty turn": 2}
