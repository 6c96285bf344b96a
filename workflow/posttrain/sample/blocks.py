"""Which prompts are answered side by side: the same whatever the shards."""


def blocks(prompts: int, n: int, block_size: int) -> list[range]:
    """The prompts that are answered side by side, by their numbers: every prompt once, whatever the shards.

    A block is as many whole prompts as fit block_size sequences; a last one of a single sequence joins the one before.
    """
    size = max(block_size // n, 1)
    cuts = [range(start, min(start + size, prompts)) for start in range(0, prompts, size)]
    if len(cuts) > 1 and len(cuts[-1]) * n == 1:
        cuts[-2:] = [range(cuts[-2].start, prompts)]
    return cuts


def share(cuts: list[range], shard: int, of: int) -> list[range]:
    """The blocks of one shard of several: neighbours, and as many as the others have, give or take one."""
    return cuts[len(cuts) * shard // of : len(cuts) * (shard + 1) // of]
