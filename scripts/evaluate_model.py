"""Measure a model on rows that none was trained on.

figures.json has each figure with its interval, points.parquet what they are of, samples.parquet every sample's score.

python -m posttrain.build evals/quickstart-dpo/spelling
"""

import sys
from importlib import import_module

import numpy as np
import pandas as pd

from posttrain.build.job import open_job
from posttrain.evaluate import MODULES, points
from posttrain.files import Refusal, write_json


def main() -> None:
    with open_job(__doc__) as job:
        of = import_module(f"posttrain.evaluate.{MODULES[job.recipe['of']]}")  # no other, for it may not be there
        measured = of.evaluate(job)
        table = points.table(measured.points)
        for broken in table[~np.isfinite(table.value)].itertuples():
            said = f"{broken.figure} is {broken.value}; the model's numbers are broken"
            raise Refusal(f"{job.inputs['model']}: {said}")
        figures = points.figures(table)
        said = {"counts": measured.counts, "figures": figures, "warnings": measured.warnings}
        write_json(job.out / "figures.json", said)
        for name, made in (("points", table), ("samples", pd.DataFrame(measured.samples))):
            made.to_parquet(job.out / f"{name}.parquet", compression="zstd", index=False)
        for warning in measured.warnings:
            print(f"{job.path}: {warning}", file=sys.stderr)
        job.metrics |= measured.counts | {name: figure["value"] for name, figure in figures.items()}


if __name__ == "__main__":
    main()
