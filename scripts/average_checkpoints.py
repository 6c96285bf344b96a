"""Make a soup: the mean of the last checkpoints that a training kept.

python -m posttrain.build models/x
"""

from posttrain.build.job import open_job
from posttrain.train.average import Part, average


def main() -> None:
    with open_job(__doc__) as job:
        last = sorted(job.inputs["base"].iterdir())[-job.recipe["last"] :]
        average([Part(folder) for folder in last], job.out)


if __name__ == "__main__":
    main()
