"""Take the last of a training's checkpoints for its model.

python -m posttrain.build models/x
"""

import shutil

from posttrain.build.job import open_job


def main() -> None:
    with open_job(__doc__) as job:
        *_, last = sorted(job.inputs["checkpoints"].iterdir())
        shutil.copytree(last, job.out, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
