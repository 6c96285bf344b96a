"""Compute what a base thinks of all answers, once for every model that is held to it.

python -m posttrain.build reference/<intent>
"""

from datasets import Dataset

from posttrain.build.job import open_job
from posttrain.train import arguments, launch, models
from posttrain.train.reference import REFERENCES, asking, write


def main() -> None:
    with open_job(__doc__) as job:
        tokenizer = models.open_tokenizer(job)
        args = arguments.reference(job)  # before any model is opened: ZeRO-3 shards at load only then
        policy = models.open_base(job, tokenizer)
        trainer = asking(policy, args)
        launch.check(trainer, job)
        launch.keep_precision(trainer)
        reference = REFERENCES[job.recipe["method"]](policy, trainer, tokenizer, job)
        for tokens in sorted(job.inputs["tokens"].glob("*.arrow")):
            rows = Dataset.from_file(str(tokens))
            if (table := reference.log_probs(rows, tokens.stem)) is not None:
                write(table, job.out / tokens.name)
                job.metrics[f"{tokens.stem}_rows"] = len(rows)


if __name__ == "__main__":
    main()
