"""Make a model with random weights.

python -m posttrain.build scripts/init_model.py models/quickstart-init
"""

from posttrain.build.job import open_job
from posttrain.train import models


def main() -> None:
    with open_job(__doc__) as job:
        tokenizer = models.open_tokenizer(job)
        model = models.init(job.recipe["architecture"], tokenizer, job.recipe["seed"])
        model.save_pretrained(job.out)
        tokenizer.save_pretrained(job.out)
        models.prove(model, job, sharded=False)
        job.metrics["parameters"] = model.num_parameters()


if __name__ == "__main__":
    main()
