"""Join the sources of a data or preference set into parquet splits, every row checked.

python -m posttrain.build data/quickstart-spellings
"""

from posttrain.build.job import Job, open_job
from posttrain.data import rows, sources
from posttrain.data.ledger import Ledger, write
from posttrain.files import Refusal


def mix(job: Job, split: str, first: dict | None) -> tuple[list[dict], list[Ledger]]:
    """A split's rows, of the kind of the set's first, and a ledger of each source."""
    stage = job.recipe["stage"]
    mixed, ledgers = [], []
    for i, source in enumerate(job.recipe[split]):
        role = f"{split}.{i}"
        place = job.files.get(role) or job.inputs.get(role)
        name, number = str(place or source["generator"]), 0
        ledger = Ledger(f"{split} rows of {source['generator'] or source['form']}")
        for number, row in sources.read(source, place):
            where = f"{name} row {number}"
            row = sources.chosen_columns(source["columns"], row, where)
            ledger.read += 1
            if checked := rows.CHECKS[stage](row, where, ledger):
                first = first or checked
                rows.check_kind(checked, first, where)
                mixed.append(checked)
        if not ledger.kept:
            skipped = f"`skip: {source['skip']}` leaves none" if source["skip"] else "it is empty"
            raise Refusal(f"{name}: gives no rows ({ledger.losses() or skipped})")
        if source["rows"] and number < source["skip"] + source["rows"]:
            asked = f"{source['rows']} after the first {source['skip']}" if source["skip"] else source["rows"]
            raise Refusal(f"{name}: has {number} rows, and {asked} are asked for; lower `rows`")
        ledgers.append(ledger)
    return mixed, ledgers


def main() -> None:
    with open_job(__doc__) as job:
        ledgers, first = [], None
        for split, file in (("sources", "train"), ("test", "test")):
            if job.recipe[split]:
                mixed, counted = mix(job, split, first)
                ledgers += counted
                first = first or mixed[0]
                rows.write(mixed, rows.schema_of(first), job.out / f"{file}.parquet")
                job.metrics[f"{file}_rows"] = len(mixed)
        write(job.out, ledgers)


if __name__ == "__main__":
    main()
