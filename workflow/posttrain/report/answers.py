"""What models answered to the same prompts."""

from pathlib import Path

from pyarrow import parquet

SHOWN = 12  # prompts


def answers(evals: dict[str, str], shown: int = SHOWN) -> list[dict]:
    """What each model answers, greedily, to the same prompts: so many, evenly spaced over all that all answered."""
    greedy = {model: read(path) for model, path in evals.items()}
    return side_by_side(greedy, spaced(common(greedy), shown))


def disagreements(evals: dict[str, str], shown: int = SHOWN) -> dict:
    """How many prompts some models answer right and others wrong, and some of these, evenly spaced over them."""
    greedy = {model: read(path) for model, path in evals.items()}
    both = common(greedy)
    apart = [number for number in both if len({right(made[number]) for made in greedy.values()}) > 1]
    return {"prompts": len(both), "apart": len(apart), "rows": side_by_side(greedy, spaced(apart, shown))}


def read(path: str) -> dict[int, dict]:
    """A model's greedy answers, by prompt."""
    rows = parquet.read_table(Path(path) / "samples.parquet").to_pylist()
    return {row["prompt_id"]: row for row in rows if row["how"] == "greedy"}


def common(greedy: dict[str, dict[int, dict]]) -> list[int]:
    """The prompts that all models answered."""
    return sorted(set.intersection(*map(set, greedy.values())))


def spaced(numbers: list[int], count: int) -> list[int]:
    return [numbers[i * len(numbers) // count] for i in range(count)] if len(numbers) > count else numbers


def right(answer: dict) -> bool:
    return answer["score"] >= 1


def side_by_side(greedy: dict[str, dict[int, dict]], numbers: list[int]) -> list[dict]:
    """A row for each prompt, with the answer of each model."""
    first = next(iter(greedy.values()))
    return [
        {
            "prompt": first[number]["prompt"][-1]["content"],
            "reference": first[number]["reference"],
            "answers": [
                {"model": model, "text": made[number]["completion"], "right": right(made[number])}
                for model, made in greedy.items()
            ],
        }
        for number in numbers
    ]
