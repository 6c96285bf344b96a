"""A reward model: a score for a conversation, taught by pairs of which one is preferred.

python -m posttrain.build models/<name>
"""

from posttrain.build.job import open_job
from posttrain.train import arguments, models, run
from posttrain.train.trainers import RewardTrainer


def main() -> None:
    with open_job(__doc__) as job:
        tokenizer = models.open_tokenizer(job)
        args = arguments.reward(job)  # before any model is opened: ZeRO-3 shards at load only then
        model, new_head = models.open_reward_base(job, tokenizer)
        trainer = RewardTrainer(
            model=model,
            new_head=new_head,
            args=args,
            **models.learning(job, tokenizer),
        )
        run.train(trainer, job)
        run.save(trainer, job)


if __name__ == "__main__":
    main()
