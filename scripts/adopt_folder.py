"""Take in a folder that a recipe names under `use:`: a checkpoint, or parquet splits.

python -m posttrain.build models/x
"""

import shutil

from posttrain.build.job import open_job

UNSAFE = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".py")


def main() -> None:
    with open_job(__doc__) as job:
        folder = job.files["folder"]
        shutil.copytree(
            folder, job.out, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n.endswith(UNSAFE)]
        )


if __name__ == "__main__":
    main()
