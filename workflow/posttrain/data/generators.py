"""Rows that are made, not read: endless streams, equal for equal arguments."""

import random
from collections.abc import Iterator

# reasoning-gym draws an item from its index; this many hold every word of the list many times over.
DRAWS = 1_000_000


def words(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """Plain text: the words of spell_backward, in its order, so that equal slices hold equal words."""
    for word, _ in spelled(seed, min_word_len, max_word_len):
        yield {"text": word}


def spell_backward(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """Spell a word backward (reasoning-gym's task of that name): distinct words, in a drawn order."""
    for word, answer in spelled(seed, min_word_len, max_word_len):
        yield {"messages": [turn("user", word), turn("assistant", answer)]}


def spell_backward_pairs(seed: int = 0, min_word_len: int = 3, max_word_len: int = 10) -> Iterator[dict]:
    """The right spelling against a near miss: two neighbouring letters swapped, or one left out or doubled."""
    for word, answer in spelled(seed, min_word_len, max_word_len):
        draw = random.Random(f"{seed} {word}")
        rejected = near_miss(answer, draw)
        yield {
            "prompt": [turn("user", word)],
            "chosen": [turn("assistant", answer)],
            "rejected": [turn("assistant", rejected)],
        }


# What a source's `generator:` may name.
KNOWN = {made.__name__: made for made in (words, spell_backward, spell_backward_pairs)}


def spelled(seed: int, min_word_len: int, max_word_len: int) -> Iterator[tuple[str, str]]:
    import reasoning_gym

    drawn = reasoning_gym.create_dataset(
        "spell_backward", size=DRAWS, seed=seed, min_word_len=min_word_len, max_word_len=max_word_len
    )
    seen = set()
    for item in drawn:
        word = item["metadata"]["word"]
        if word not in seen:
            seen.add(word)
            yield word, item["answer"]


def near_miss(answer: str, draw: random.Random) -> str:
    """The answer with one slip; never the answer itself."""
    swaps = [i for i in range(len(answer) - 1) if answer[i] != answer[i + 1]]
    slips = ["drop", "double", *(["swap"] * 2 if swaps else [])]
    slip = draw.choice(slips)
    i = draw.choice(swaps) if slip == "swap" else draw.randrange(len(answer))
    if slip == "swap":
        return answer[:i] + answer[i + 1] + answer[i] + answer[i + 2 :]
    return answer[:i] + answer[i + 1 :] if slip == "drop" else answer[: i + 1] + answer[i:]


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}
