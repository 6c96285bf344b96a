"""Scores of a rehearsal."""

import random

from posttrain.score.tables import by_prompt


def by_lot(completions: list[dict]) -> list[float]:
    """Of each prompt's completions one has 1, one has 0, and the others lie between."""
    scores = [0.0] * len(completions)
    for prompt_id, mine in by_prompt(completions).items():
        random.Random(prompt_id).shuffle(mine)
        for rank, place in enumerate(mine):
            scores[place] = rank / max(len(mine) - 1, 1)
    return scores
