"""Models against each other: what is significant, and what they are held against."""

import random
from pathlib import Path

import pytest

from posttrain.evaluate import points
from posttrain.evaluate.points import Point
from posttrain.files import write_json
from posttrain.recipes.benchmarks import MEANS, METRICS
from posttrain.report import draw, page
from posttrain.report.compare import Comparison, compared, holm
from posttrain.report.suites import Suite, suites_of

RIGHT = {"a": 0.5, "b": 0.5, "c": 0.7}  # of each model the share of prompts that it answers right
MADE_FROM = {"b": "a", "c": "b"}


def evaluated(name: str, share: float, prompts: int = 200) -> dict:
    """A model that was measured, and what stands of that."""
    folder, drawn = Path("evals") / name / "suite", random.Random(0)
    ranks = [drawn.random() + random.Random(f"{name} {i}").uniform(-0.1, 0.1) for i in range(prompts)]
    said = points.table([Point("accuracy", str(i), float(rank < share)) for i, rank in enumerate(ranks)])
    folder.mkdir(parents=True)
    said.to_parquet(folder / "points.parquet")
    write_json(folder / "figures.json", {"counts": {}, "figures": points.figures(said), "warnings": []})
    identity = {"model": name, "of": "prompts", "prompts": "rows"}
    return {"own": {"of": "prompts", "split": "test"}, "identity": identity, "inputs": {"model": f"models/{name}"}}


@pytest.fixture
def suite(tmp_path, monkeypatch) -> Suite:
    """Three models, of which the last alone is better."""
    monkeypatch.chdir(tmp_path)
    evals = {f"evals/{name}/suite": evaluated(name, share) for name, share in RIGHT.items()}
    models = {f"models/{name}": {"inputs": {}} for name in RIGHT}
    for name, base in MADE_FROM.items():
        models[f"models/{name}"] = {"inputs": {"base": f"models/{base}"}}
    (made,) = suites_of(evals | models, list(evals))
    return made


def looked_at(suite: Suite, against) -> list[Comparison]:
    return compared([suite], against, lambda suite: suite.figures)


def test_each_model_is_held_against_the_one_it_was_made_from(suite):
    found = looked_at(suite, Suite.origins)
    assert [(made.model, made.base, made.significant) for made in found] == [("b", "a", False), ("c", "b", True)]
    assert found[1].difference.low < 0.2 < found[1].difference.high


def test_or_all_against_the_first(suite):
    assert [(made.model, made.base) for made in looked_at(suite, Suite.first)] == [("b", "a"), ("c", "a")]


def test_a_model_that_was_not_measured_is_passed_over(suite):
    del suite.evals["b"]
    assert suite.origins() == {"c": "a"}


def test_chances_are_held_to_less_the_more_there_are_of_them():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.04]) == [True]
    assert holm([0.04] * 2) == [False, False]
    assert holm([]) == []


def test_of_equal_models_hardly_any_differ_however_many_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"m{i}" for i in range(12)]
    evals = {f"evals/{name}/suite": evaluated(name, 0.5, prompts=100) for name in names}
    found = looked_at(*suites_of(evals, list(evals)), Suite.first)
    assert len(found) == 11
    assert not any(made.significant for made in found)


def test_what_is_a_share_its_name_says_and_lm_evals_metric():
    ours = ("accuracy", "sampled_accuracy", "pass@4", "finished", "win_rate", "inconsistent", "unrated")
    theirs = ("gsm8k/exact_match/strict-match", "ifeval/prompt_level_strict_acc", "mmlu/acc", "humaneval/pass@1/create")
    others = ("margin", "rating", "rating_turn_1", "kl", "bits_per_byte", "accuracy/bleu", "winrate/chrf/accuracy")
    assert [figure for figure in (*ours, *theirs) if not draw.share(figure)] == []
    assert [figure for figure in others if draw.share(figure)] == []
    own = {metric for measured in METRICS.values() for metric in measured}
    assert {metric for metric in own if draw.share(f"mine/{metric}/f")} == set(MEANS)
    bars = draw.bars("", "gsm8k/exact_match/strict-match", {"a": {"value": 0.25}})["bars"]
    assert [(bar["value"], bar["width"]) for bar in bars] == [("25.0 %", 25)]


def test_a_model_that_lacks_a_figure_has_no_headline_of_it(suite):
    del suite.said["b"]["figures"]["accuracy"]
    assert page.headlines([suite]).keys() == {"a", "c"}
