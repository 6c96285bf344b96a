"""Direct preference optimisation: the policy learns from pairs, held to itself as it was.

python -m posttrain.build models/quickstart-dpo
"""

from posttrain.build.job import open_job
from posttrain.train import arguments, models, run
from posttrain.train.trainers import DPOTrainer


def main() -> None:
    with open_job(__doc__) as job:
        tokenizer = models.open_tokenizer(job)
        args = arguments.dpo(job)  # before any model is opened: ZeRO-3 shards at load only then
        trainer = DPOTrainer(
            model=models.open_base(job, tokenizer),
            args=args,
            **models.learning(job, tokenizer),
        )
        run.train(trainer, job)
        run.save(trainer, job)


if __name__ == "__main__":
    main()
