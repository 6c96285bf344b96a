"""Put the shards of a set of completions together: every prompt once, whatever the number of shards.

python -m posttrain.build completions/quickstart-tries
"""

from pyarrow import compute

from posttrain.build.job import open_job
from posttrain.data.ledger import write
from posttrain.files import Refusal
from posttrain.sample import conversations, gather


def main() -> None:
    with open_job(__doc__) as job:
        sampling = job.recipe["sampling"]
        asked = gather.count(job.inputs["prompts"] / f"{job.recipe['split']}.parquet")
        conversation = conversations.PLAIN | job.recipe.get("conversation", {})
        schema = conversations.schema_of(conversation)
        made, ledger = gather.gathered(job.shards, asked, sampling["n"], sampling["block_size"], schema)
        if not made.num_rows:
            raise Refusal(f"no prompt leaves room for {sampling['max_new_tokens']} tokens; lower max_new_tokens")
        gather.write(made, job.out / "completions.parquet")
        ledgers = [ledger]
        if conversation != conversations.PLAIN:
            cut = made.filter(compute.invert(made["finished"])).to_pylist()
            ledgers.append(conversations.unfinished(cut, made.num_rows))
        write(job.out, ledgers)
        job.metrics |= {"completions": made.num_rows, "tokens": compute.sum(made["tokens"]).as_py()}
        job.metrics["finished"] = compute.sum(made["finished"]).as_py()


if __name__ == "__main__":
    main()
