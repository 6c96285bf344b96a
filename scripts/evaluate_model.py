"""Measure a model on rows that none was trained on: figures.json, and samples.parquet with every sample's score.

python -m posttrain.build scripts/evaluate_model.py evals/quickstart-dpo/spelling
"""

import pandas as pd

from posttrain.build.job import open_job
from posttrain.evaluate import answers, pairs, text
from posttrain.files import write_json


def main() -> None:
    with open_job(__doc__) as job:
        of = {"prompts": answers, "pairs": pairs, "text": text}[job.recipe["of"]]
        figures, samples = of.evaluate(job)
        write_json(job.out / "figures.json", figures)
        pd.DataFrame(samples).to_parquet(job.out / "samples.parquet", compression="zstd", index=False)
        job.metrics |= figures


if __name__ == "__main__":
    main()
