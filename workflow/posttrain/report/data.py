"""What the page of a data or preference set shows: its rows, where they came from, and what was left out."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from posttrain.data import rows
from posttrain.files import read_json
from posttrain.report import draw
from posttrain.report.naming import name_of, what
from posttrain.report.page import environment, ledgers

SPLITS = ("train", "test")
AT_RANDOM = 12  # rows that are shown
EXTREMES = 4  # completions of the highest scores that are shown, and of the lowest
BINS = 24


def render(targets: dict[str, dict], path: str) -> str:
    """A set's page, as one HTML file."""
    return environment().get_template("data.html.jinja").render(shown(targets, path))


def shown(targets: dict[str, dict], path: str) -> dict[str, Any]:
    """All that the template asks for."""
    splits = {split: rows.read(file) for split in SPLITS if (file := Path(path) / f"{split}.parquet").exists()}
    said = targets[path]
    scored = scored_completions(said["inputs"]) if "scores" in said["inputs"] else None
    return {
        "name": name_of(path, said),
        "kind": path.split("/")[0],
        "what": what(targets, path),
        "content": read_json(f"{path}.json")["content"],
        "counts": {split: len(found) for split, found in splits.items()},
        "sources": read_json(Path(path) / "ledger.json").get("entries", []),
        "charts": [*lengths(splits["train"]), *(scores(scored) if scored is not None else [])],
        "examples": [parts(row) for row in at_random(splits["train"])],
        "extremes": extremes(scored) if scored is not None else [],
        "ledgers": ledgers(path, targets),
    }


def scored_completions(inputs: dict[str, str]) -> pd.DataFrame:
    """Each completion with its score, those that have none left out."""
    completions = pd.DataFrame(rows.read(Path(inputs["completions"]) / "completions.parquet"))
    scores = pd.DataFrame(rows.read(Path(inputs["scores"]) / "scores.parquet"))
    return completions.merge(scores, on=["prompt_id", "sample"]).dropna(subset=["score"])


def lengths(found: list[dict]) -> list[dict]:
    """Characters of what is answered, and of what it answers: a histogram each."""
    asked = [sum(len(turn["content"]) for turn in rows.prompt_of(row)) for row in found]
    charts = [draw.histogram("characters of a text" if "text" in found[0] else "characters of a prompt", asked, BINS)]
    for side in ("chosen", "rejected", "completion", "messages"):
        if side in found[0]:
            answers = (rows.answers_of(row) if side == "messages" else row[side] for row in found)
            said = [sum(len(turn["content"]) for turn in answer) for answer in answers if answer]
            name = "the last answer" if side == "messages" else side
            if said:  # prompts have no answers
                charts.append(draw.histogram(f"characters of {name}", said, BINS))
    return charts


def scores(scored: pd.DataFrame) -> Iterator[dict]:
    """Of all completions, and of each prompt's best: what choosing is worth."""
    yield draw.histogram("scores of all completions", scored.score.tolist(), BINS)
    yield draw.histogram("scores of each prompt's best", scored.groupby("prompt_id").score.max().tolist(), BINS)


def at_random(found: list[dict]) -> list[dict]:
    """Some rows, drawn evenly, in their order; the same whenever the page is made."""
    places = random.Random(0).sample(range(len(found)), min(AT_RANDOM, len(found)))
    return [found[place] for place in sorted(places)]


def extremes(scored: pd.DataFrame) -> list[dict]:
    """The completions of the highest scores and of the lowest, best first."""
    ranked = scored.sort_values(["score", "prompt_id", "sample"], ascending=[False, True, True])
    chosen = pd.concat([ranked.head(EXTREMES), ranked.tail(EXTREMES)]) if len(ranked) > 2 * EXTREMES else ranked
    return [
        {"score": draw.short(row.score), "prompt": row.prompt[-1]["content"], "completion": row.completion}
        for row in chosen.itertuples()
    ]


def parts(row: dict) -> list[dict]:
    """What is said in a row, turn by turn, each with who says it, or which answer it is."""
    if "text" in row:
        return [{"of": "text", "said": row["text"]}]
    turns = row["messages"] if "messages" in row else row["prompt"]
    made = [{"of": turn["role"], "said": turn["content"]} for turn in turns]
    for side in ("chosen", "rejected", "completion"):
        made += [{"of": side, "said": turn["content"]} for turn in row.get(side, [])]
    if "label" in row:
        made.append({"of": "label", "said": "wanted" if row["label"] else "not wanted"})
    return made
