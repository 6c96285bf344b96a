"""Merge models of one architecture and one vocabulary: their mean by weight.

python -m posttrain.build models/x
"""

from posttrain.build.job import open_job
from posttrain.train.average import Part, average, check_vocabulary


def main() -> None:
    with open_job(__doc__) as job:
        weights = job.recipe["weights"]
        parts = [Part(job.inputs[f"models.{i}"], weight) for i, weight in enumerate(weights)]
        for other in parts[1:]:
            check_vocabulary(parts[0], other)
        average(parts, job.out)


if __name__ == "__main__":
    main()
