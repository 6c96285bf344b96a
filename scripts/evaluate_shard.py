"""Answer a shard of what a suite asks, block by block. A block that was finished before a kill is kept.

python -m posttrain.build shards/zephyr-7b-dpo/benchmarks.1of4
"""

from importlib import import_module

from posttrain.build.job import open_job
from posttrain.evaluate import MODULES


def main() -> None:
    with open_job(__doc__) as job:
        import_module(f"posttrain.evaluate.{MODULES[job.recipe['of']]}").answer_shard(job)


if __name__ == "__main__":
    main()
