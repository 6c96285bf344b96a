"""An adapter and its base as one model.

python -m posttrain.build models/<name>
"""

from posttrain.build.job import open_job
from posttrain.train.merge import merge


def main() -> None:
    with open_job(__doc__) as job:
        merge(job)


if __name__ == "__main__":
    main()
