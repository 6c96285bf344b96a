"""A set of rows in the making: what each source gives, checked, filtered, shuffled and written, split by split."""

import numpy as np

from posttrain.build.job import Job
from posttrain.data import dialogues, rows, sources
from posttrain.data.filters import Filters
from posttrain.data.ledger import Ledger
from posttrain.data.spool import Spool
from posttrain.files import Refusal

SPLITS = {"test": "test", "sources": "train"}  # what is tested on comes first: its doubles are left out of what follows


class Mixture:
    """A set in the making: its first row, whose kind all others are of, and a ledger of each source."""

    def __init__(self, job: Job) -> None:
        said = job.recipe["decontaminate"] or {"against": []}
        against = {name: job.inputs[f"against.{i}"] for i, name in enumerate(said["against"])}
        self.job, self.filters, self.first = job, Filters(job.recipe, against), None
        self.ledgers: dict[str, list[Ledger]] = {}

    def write(self, part: str) -> None:
        """Write a split: its sources one after the other, shuffled if the recipe has a seed."""
        split, seed = SPLITS[part], self.job.recipe["seed"]
        spool, self.ledgers[part] = Spool(self.job.work / f"{split}.spool"), []
        order = np.array([place for i in range(len(self.job.recipe[part])) for place in self.take(part, i, spool)])
        if seed is not None:
            order = order[np.random.default_rng(seed).permutation(len(order))]
        spool.write(order, self.job.out / f"{split}.parquet")
        self.job.metrics[f"{split}_rows"] = len(order)

    def take(self, part: str, i: int, spool: Spool) -> list[int]:
        """Keep a source's rows; their places, in the order that they are to have."""
        recipe, role = self.job.recipe, f"{part}.{i}"
        source, place = recipe[part][i], self.job.files.get(role) or self.job.inputs.get(role)
        name, number, taken, places = str(place or source["generator"]), 0, 0, {}
        ledger = Ledger(f"{part} rows of {source['generator'] or source['form']}")
        shuffle = recipe["seed"] if recipe["take"] == "shuffled" else None
        read, order = sources.taken(source, place, shuffle, ledger)
        for index, number, row in read:
            ledger.read, taken = ledger.read + 1, taken + 1
            if checked := self.checked(row, f"{name} row {number}", source, SPLITS[part], ledger):
                places[index] = spool.add(checked)
        refuse_nothing(source, name, ledger)
        if source["rows"] and taken < source["rows"] and not recipe.get("fewer"):  # a rehearsal takes what there is
            asked = f"{source['rows']} after the first {source['skip']}" if source["skip"] else source["rows"]
            raise Refusal(f"{name}: has {number} rows, and {asked} are asked for; lower `rows`")
        self.ledgers[part].append(ledger)
        return list(places.values()) if order is None else [places[index] for index in order if index in places]

    def checked(self, row: dict, where: str, source: dict, split: str, ledger: Ledger) -> dict | None:
        """A row as the set has it; None, and a line in the ledger, if it is left out."""
        try:
            checked = self.read(row, where, source, ledger)
        except rows.Unsound as why:
            ledger.drop(str(why))
            return None
        if not checked:
            return None
        self.first = self.first or checked
        rows.check_kind(checked, self.first, where)
        if why := self.filters.why_not(checked, split):
            ledger.drop(why, rows.prompt_of(checked))
            return None
        return checked

    def read(self, row: dict, where: str, source: dict, ledger: Ledger) -> dict | None:
        """A row of a source as its recipe has it, checked."""
        row = sources.chosen_columns(source["columns"], row, where)
        if source.get("format"):
            row = dialogues.FORMATS[source["format"]](row, where)
        checked = rows.CHECKS[self.job.recipe["stage"]](row, where, ledger)
        return dialogues.first(source["exchanges"], checked, where) if source.get("exchanges") else checked


def refuse_nothing(source: dict, name: str, ledger: Ledger) -> None:
    """Raises: Refusal, if a source has given no rows."""
    if not ledger.kept:
        empty = f"weight {source['weight']} of its rows is none" if source["weight"] else "it is empty"
        skipped = f"`skip: {source['skip']}` leaves none" if source["skip"] else empty
        raise Refusal(f"{name}: gives no rows ({ledger.losses() or skipped})")
