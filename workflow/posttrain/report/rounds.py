"""What models' own answers were worth, round by round: each set of scored completions that a model descends from."""

from pathlib import Path

from pyarrow import parquet

from posttrain.report import draw

READ = ("prompt_id", "sample", "tokens", "finished")


def rounds(targets: dict[str, dict], made: list[str]) -> list[dict]:
    """A row for each target of scores, in the order they were made."""
    scores = (path for path in made if path.startswith("scores/"))
    known = ((path, targets[path]["inputs"].get("completions")) for path in scores)  # adopted ones do not say whose
    return [
        {"name": path.split("/", 1)[1], "model": targets[of]["identity"]["model"], **worth(Path(path), Path(of))}
        for path, of in known
        if of and "model" in targets[of]["identity"]
    ]


def worth(path: Path, completions: Path) -> dict:
    """Means over prompts: of all scores, of the best of each prompt's n, of lengths in tokens; NaN is no score."""
    found = parquet.read_table(completions / "completions.parquet", columns=list(READ)).to_pandas()
    scores = parquet.read_table(path / "scores.parquet").to_pandas()
    both = found.merge(scores[["prompt_id", "sample", "score"]], on=["prompt_id", "sample"])
    by_prompt = both.groupby("prompt_id").score
    return {
        "prompts": len(by_prompt),
        "n": int(found["sample"].max()) + 1,
        "mean": draw.short(by_prompt.mean().mean()),
        "best": draw.short(by_prompt.max().mean()),
        "tokens": draw.short(found.tokens.mean()),
        "finished": f"{100 * found.finished.mean():.1f} %",
    }
