"""Sample answers to every prompt of a data set, block by block. A block that was finished before a kill is kept.

python -m posttrain.build scripts/sample_completions.py completions/quickstart-tries
"""

from functools import partial
from pathlib import Path

from posttrain.build.job import Job, open_job
from posttrain.build.pool import spread
from posttrain.data import rows
from posttrain.files import Refusal, write_json
from posttrain.sample import prompts
from posttrain.sample.generate import blocks, open_sampler


def complete(numbered: tuple[int, list[prompts.Prompt]], job: Job, kept: Path) -> list[dict]:
    """A block's completions, from the file that an earlier run left or drawn now."""
    number, block = numbered
    file = kept / f"{number}.parquet"
    if not file.exists():
        device = "cuda" if job.runtime["gpus"] else "cpu"
        made = open_sampler(job.inputs["model"], tuple(job.recipe["sampling"].items()), device).complete(block)
        rows.write(made, rows.COMPLETIONS, file.with_suffix(".new"))
        file.with_suffix(".new").rename(file)
    return rows.read(file)


def main() -> None:
    with open_job(__doc__) as job:
        sampling, kept = job.recipe["sampling"], job.work / "blocks"
        kept.mkdir(exist_ok=True)
        asked = prompts.read(job.inputs["prompts"] / f"{job.recipe['split']}.parquet")
        fit = prompts.fitting(asked, job.inputs["model"], sampling["max_new_tokens"])
        if not fit:
            raise Refusal(f"no prompt leaves room for {sampling['max_new_tokens']} tokens; lower max_new_tokens")
        cuts, made = blocks(len(fit), sampling["n"], sampling["block_size"]), []
        numbered = ((number, fit[cut.start : cut.stop]) for number, cut in enumerate(cuts))
        for done, block in enumerate(spread(partial(complete, job=job, kept=kept), numbered, job.runtime["shards"]), 1):
            made += block
            job.say(step=done, max_steps=len(cuts))
        rows.write(made, rows.COMPLETIONS, job.out / "completions.parquet")
        dropped = {"no room behind the prompt": len(asked) - len(fit)} if len(fit) < len(asked) else {}
        write_json(job.out / "ledger.json", {"prompts": len(asked), "answered": len(fit), "dropped": dropped})
        finished = sum(row["finished"] for row in made)
        job.metrics |= {"completions": len(made), "finished": finished, "tokens": sum(row["tokens"] for row in made)}


if __name__ == "__main__":
    main()
