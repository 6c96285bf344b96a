"""Scores of a rehearsal."""

import random


def by_lot(completions: list[dict]) -> list[float]:
    """Of each prompt's completions one has 1, one has 0, and the others lie between."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(completions):
        places.setdefault(row["prompt_id"], []).append(place)
    scores = [0.0] * len(completions)
    for prompt_id, mine in places.items():
        random.Random(prompt_id).shuffle(mine)
        for rank, place in enumerate(mine):
            scores[place] = rank / max(len(mine) - 1, 1)
    return scores
