"""Join the sources of a data or preference set into parquet splits, every row checked.

python -m posttrain.build data/quickstart-spellings
"""

from posttrain.build.job import open_job
from posttrain.data.ledger import write
from posttrain.data.mixture import SPLITS, Mixture


def main() -> None:
    with open_job(__doc__) as job:
        mixture = Mixture(job)
        for part in SPLITS:
            if job.recipe[part]:
                mixture.write(part)
        write(job.out, [*mixture.ledgers["sources"], *mixture.ledgers.get("test", []), *mixture.filters.ledgers])


if __name__ == "__main__":
    main()
