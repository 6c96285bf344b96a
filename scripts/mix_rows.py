"""Join the sources of a data or preference set into parquet splits, every row checked.

python -m posttrain.build data/quickstart-spellings
"""

import numpy as np

from posttrain.build.job import Job, open_job
from posttrain.data import rows, sources
from posttrain.data.filters import Filters
from posttrain.data.ledger import Ledger, write
from posttrain.data.spool import Spool
from posttrain.files import Refusal

SPLITS = {"test": "test", "sources": "train"}  # what is tested on comes first: its doubles are left out of what follows


def mix(job: Job, part: str, filters: Filters, first: dict | None) -> tuple[dict, list[Ledger]]:
    """Write a split; the set's first row, whose kind all others are of, and a ledger of each source."""
    recipe, split = job.recipe, SPLITS[part]
    shuffle = recipe["seed"] if recipe["take"] == "shuffled" else None
    spool, order, ledgers = Spool(job.work / f"{split}.spool"), [], []
    for i, source in enumerate(recipe[part]):
        role = f"{part}.{i}"
        place = job.files.get(role) or job.inputs.get(role)
        name, number, places = str(place or source["generator"]), 0, {}
        ledger = Ledger(f"{part} rows of {source['generator'] or source['form']}")
        read, wanted = sources.taken(source, place, shuffle)
        for index, number, row in read:
            where = f"{name} row {number}"
            row = sources.chosen_columns(source["columns"], row, where)
            ledger.read += 1
            if checked := rows.CHECKS[recipe["stage"]](row, where, ledger):
                first = first or checked
                rows.check_kind(checked, first, where)
                if why := filters.why_not(checked, split):
                    ledger.drop(why)
                else:
                    places[index] = spool.add(checked)
        refuse_too_few(source, name, ledger, number, recipe.get("fewer", False))
        order += [places[index] for index in wanted if index in places] if len(wanted) else places.values()
        ledgers.append(ledger)
    order = np.array(order)
    if recipe["seed"] is not None:
        order = order[np.random.default_rng(recipe["seed"]).permutation(len(order))]
    spool.write(order, job.out / f"{split}.parquet")
    job.metrics[f"{split}_rows"] = len(order)
    return first, ledgers


def refuse_too_few(source: dict, name: str, ledger: Ledger, last: int, fewer: bool) -> None:
    """Raises: Refusal, if a source has given nothing, or fewer rows than are asked of it (but in a rehearsal)."""
    if not ledger.kept:
        empty = "it is empty, or `where` lets nothing through" if source["where"] else "it is empty"
        empty = f"weight {source['weight']} of its rows is none" if source["weight"] else empty
        skipped = f"`skip: {source['skip']}` leaves none" if source["skip"] else empty
        raise Refusal(f"{name}: gives no rows ({ledger.losses() or skipped})")
    if source["rows"] and ledger.read < source["rows"] and not fewer:
        asked = f"{source['rows']} after the first {source['skip']}" if source["skip"] else source["rows"]
        raise Refusal(f"{name}: has {last} rows, and {asked} are asked for; lower `rows`")


def main() -> None:
    with open_job(__doc__) as job:
        said = job.recipe["decontaminate"] or {"against": []}
        against = {name: job.inputs[f"against.{i}"] for i, name in enumerate(said["against"])}
        filters, first, ledgers = Filters(job.recipe, against), None, []
        for part in SPLITS:
            if job.recipe[part]:
                first, counted = mix(job, part, filters, first)
                ledgers = counted + ledgers
        write(job.out, ledgers + filters.ledgers)


if __name__ == "__main__":
    main()
