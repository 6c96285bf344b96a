"""What leaves rows of a set out: their length, their doubles, and benchmarks that they hold text of."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from posttrain.data import rows
from posttrain.data.ledger import Ledger

WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """A text's words, case and punctuation aside."""
    return WORD.findall(text.casefold())


class Benchmarks:
    """Runs of words of benchmarks, by name. An item with fewer words than a run is found nowhere, and counted."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.runs: dict[str, str] = {}  # run → the benchmark that has it
        self.first: set[str] = set()  # of each run its first word, which is sooner looked up

    def add(self, name: str, items: Iterable[dict]) -> Ledger:
        ledger = Ledger(f"items of {name}")
        for item in items:
            ledger.read += 1
            found = [run for text in rows.said(item) for run in self.runs_of(words_of(text))]
            if not found:
                ledger.drop(f"fewer than {self.ngram} words")
            for run in found:
                self.runs.setdefault(run, name)
                self.first.add(run.partition(" ")[0])
        return ledger

    def runs_of(self, words: list[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.ngram]) for i in range(len(words) - self.ngram + 1))

    def held_by(self, row: dict) -> str | None:
        """The benchmark of which a row holds a run of words."""
        for text in rows.said(row):
            words = words_of(text)
            for i in range(len(words) - self.ngram + 1):
                if words[i] in self.first and (name := self.runs.get(" ".join(words[i : i + self.ngram]))):
                    return name
        return None


class Filters:
    """What a recipe declares of the rows of a set, of its splits one after the other."""

    def __init__(self, recipe: dict, against: dict[str, Path]) -> None:
        """Args: against: the folders of the benchmarks' rows, by name."""
        self.lengths, self.doubles = recipe["lengths"], recipe["deduplicate"]
        self.seen: set[bytes] = set()
        self.ledgers, self.benchmarks = [], None
        if against:
            self.benchmarks = Benchmarks(recipe["decontaminate"]["ngram"])
            for name, folder in against.items():
                items = (row for path in sorted(folder.glob("*.parquet")) for row in rows.read(path))
                self.ledgers.append(self.benchmarks.add(name, items))

    def why_not(self, row: dict, split: str) -> str | None:
        """Why a row is left out of a split; None if it is not. What a model is tested on may be of a benchmark."""
        if self.lengths:
            chars = sum(map(len, rows.said(row)))
            if chars < self.lengths["min_chars"]:
                return f"fewer than {self.lengths['min_chars']} characters"
            if self.lengths["max_chars"] is not None and chars > self.lengths["max_chars"]:
                return f"more than {self.lengths['max_chars']} characters"
        if self.benchmarks and split == "train" and (name := self.benchmarks.held_by(row)):
            return f"holds {self.benchmarks.ngram} words in a row of {name}"
        if self.doubles:
            double = digest_of(row if self.doubles == "rows" or "text" in row else rows.prompt_of(row))
            if double in self.seen:
                return "is there already, before it or in test"
            self.seen.add(double)
        return None


def digest_of(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
