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
        name, number, taken, places = str(place or source["generator"]), 0, 0, {}
        ledger = Ledger(f"{part} rows of {source['generator'] or source['form']}")
        read, wanted = sources.taken(source, place, shuffle, ledger)
        for index, number, row in read:
            where = f"{name} row {number}"
            row = sources.chosen_columns(source["columns"], row, where)
            ledger.read, taken = ledger.read + 1, taken + 1
            if checked := rows.CHECKS[recipe["stage"]](row, where, ledger):
                first = first or checked
                rows.check_kind(checked, first, where)
                if why := filters.why_not(checked, split):
                    ledger.drop(why, rows.prompt_of(checked))
                else:
                    places[index] = spool.add(checked)
        refuse_nothing(source, name, ledger)
        if source["rows"] and taken < source["rows"] and not recipe.get("fewer"):  # a rehearsal takes what there is
            asked = f"{source['rows']} after the first {source['skip']}" if source["skip"] else source["rows"]
            raise Refusal(f"{name}: has {number} rows, and {asked} are asked for; lower `rows`")
        order += [places[index] for index in wanted if index in places] if len(wanted) else places.values()
        ledgers.append(ledger)
    order = np.array(order)
    if recipe["seed"] is not None:
        order = order[np.random.default_rng(recipe["seed"]).permutation(len(order))]
    spool.write(order, job.out / f"{split}.parquet")
    job.metrics[f"{split}_rows"] = len(order)
    return first, ledgers


def refuse_nothing(source: dict, name: str, ledger: Ledger) -> None:
    """Raises: Refusal, if a source has given no rows."""
    if not ledger.kept:
        empty = f"weight {source['weight']} of its rows is none" if source["weight"] else "it is empty"
        skipped = f"`skip: {source['skip']}` leaves none" if source["skip"] else empty
        raise Refusal(f"{name}: gives no rows ({ledger.losses() or skipped})")


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
