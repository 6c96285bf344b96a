"""Answer a shard of a data set's prompts, block by block. A block that was finished before a kill is kept.

python -m posttrain.build shards/quickstart-tries.1of2
"""

from functools import partial

from posttrain.build.job import open_job
from posttrain.data import rows
from posttrain.data.ledger import write
from posttrain.sample import conversations, prompts
from posttrain.sample.blocks import blocks, share
from posttrain.sample.completions import completions


def main() -> None:
    with open_job(__doc__) as job:
        sampling = job.recipe["sampling"]
        conversation = conversations.PLAIN | job.recipe.get("conversation", {})
        path = job.inputs["prompts"] / f"{job.recipe['split']}.parquet"
        asked = prompts.read(path, conversation["every_turn"])
        cuts = blocks(len(asked), sampling["n"], sampling["block_size"])
        mine = share(cuts, job.recipe["shard"], job.recipe["of"])
        fit, ledger = prompts.fitting(
            [asked[cut.start : cut.stop] for cut in mine],
            job.inputs["model"],
            sampling["max_new_tokens"],
            partial(conversations.opening, conversation),
        )
        made = completions(job, "blocks", fit, sampling, conversation)
        rows.write(made, conversations.schema_of(conversation), job.out / "completions.parquet")
        write(job.out, [ledger])
        job.metrics |= {"completions": len(made), "tokens": sum(row["tokens"] for row in made)}


if __name__ == "__main__":
    main()
