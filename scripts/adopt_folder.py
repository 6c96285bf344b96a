"""Take in a folder that a recipe names under `use:`: a checkpoint, or parquet splits.

    python -m posttrain.build scripts/adopt_folder.py models/x
"""

import shutil

from posttrain.build.job import open_job
from posttrain.files import Refusal

UNSAFE = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".py")


def main() -> None:
    with open_job(__doc__) as job:
        folder = job.files["folder"]
        wanted = "*.safetensors" if job.path.startswith("models/") else "train.parquet"
        if not any(folder.glob(wanted)):
            raise Refusal(f"{folder} has no {wanted}; it cannot stand in for {job.path}")
        shutil.copytree(folder, job.out, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n.endswith(UNSAFE)])


if __name__ == "__main__":
    main()
