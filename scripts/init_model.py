"""Make a model with random weights.

python -m posttrain.build models/quickstart-init
"""

from posttrain.build.job import open_job
from posttrain.train import models, saving


def main() -> None:
    with open_job(__doc__) as job:
        tokenizer = models.open_tokenizer(job)
        model = models.init(job.recipe["architecture"], tokenizer, job.recipe["seed"])
        saving.save(model, tokenizer, job)


if __name__ == "__main__":
    main()
