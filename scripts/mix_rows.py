"""Join the sources of a data or preference set into parquet splits, every row checked.

python -m posttrain.build scripts/mix_rows.py data/quickstart-spellings
"""

from collections import Counter

from posttrain.build.job import Job, open_job
from posttrain.data import rows, sources
from posttrain.files import Refusal, write_json


def mix(job: Job, split: str, first: dict | None) -> tuple[list[dict], list[dict]]:
    """A split's rows, of the kind of the set's first, and what each source gave and lost."""
    stage = job.recipe["stage"]
    mixed, ledger = [], []
    for i, source in enumerate(job.recipe[split]):
        role = f"{split}.{i}"
        place = job.files.get(role) or job.inputs.get(role)
        name, kept, number, dropped = str(place or source["generator"]), 0, 0, Counter()
        for number, row in sources.read(source, place):
            where = f"{name} row {number}"
            row = sources.chosen_columns(source["columns"], row, where)
            if checked := rows.CHECKS[stage](row, where, dropped):
                first = first or checked
                rows.check_kind(checked, first, where)
                mixed.append(checked)
                kept += 1
        if not kept:
            lost = [f"{count} dropped: {why}" for why, count in sorted(dropped.items())]
            skipped = [f"`skip: {source['skip']}` leaves none"] if source["skip"] else []
            raise Refusal(f"{name}: gives no rows ({', '.join(lost or skipped or ['it is empty'])})")
        if source["rows"] and number < source["skip"] + source["rows"]:
            asked = f"{source['rows']} after the first {source['skip']}" if source["skip"] else source["rows"]
            raise Refusal(f"{name}: has {number} rows, and {asked} are asked for; lower `rows`")
        ledger.append({"source": role, "rows": kept, "dropped": dict(sorted(dropped.items()))})
    return mixed, ledger


def main() -> None:
    with open_job(__doc__) as job:
        ledger, first = {}, None
        for split, file in (("sources", "train"), ("test", "test")):
            if job.recipe[split]:
                mixed, ledger[file] = mix(job, split, first)
                first = first or mixed[0]
                rows.write(mixed, rows.schema_of(first), job.out / f"{file}.parquet")
                job.metrics[f"{file}_rows"] = len(mixed)
        write_json(job.out / "ledger.json", ledger)


if __name__ == "__main__":
    main()
