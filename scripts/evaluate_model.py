"""Measure a model on rows that none was trained on: figures.json, and samples.parquet with every sample's score.

python -m posttrain.build evals/quickstart-dpo/spelling
"""

import math

import pandas as pd

from posttrain.build.job import open_job
from posttrain.evaluate import answers, drift, pairs, text
from posttrain.files import Refusal, write_json


def main() -> None:
    with open_job(__doc__) as job:
        of = {"prompts": answers, "drift": drift, "pairs": pairs, "text": text}[job.recipe["of"]]
        figures, samples = of.evaluate(job)
        if broken := [name for name, value in figures.items() if not math.isfinite(value)]:
            raise Refusal(f"{job.inputs['model']}: {broken[0]} is {figures[broken[0]]}; the model's numbers are broken")
        write_json(job.out / "figures.json", figures)
        pd.DataFrame(samples).to_parquet(job.out / "samples.parquet", compression="zstd", index=False)
        job.metrics |= figures


if __name__ == "__main__":
    main()
