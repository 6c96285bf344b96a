"""Figures of points: their intervals, and the differences of two models."""

import math
import random

import pytest

from posttrain.evaluate import benchmarks, points
from posttrain.evaluate.points import Point


def shares(rights: list[float], figure: str = "accuracy") -> list[Point]:
    return [Point(figure, str(number), right) for number, right in enumerate(rights)]


def test_a_figure_is_the_mean_of_its_points_by_weight():
    said = [Point("bits", "0", 30.0, 10.0), Point("bits", "1", 10.0, 10.0), Point("bits", "2", 5.0, 1.0)]
    assert points.figures(points.table(said))["bits"]["value"] == 45 / 21


def test_the_interval_of_a_share_is_about_the_binomials():
    found = points.figures(points.table(shares([1.0] * 120 + [0.0] * 280)))["accuracy"]
    reach = 1.96 * math.sqrt(0.3 * 0.7 / 400)
    assert found["value"] == 0.3
    assert found["low"] == pytest.approx(0.3 - reach, abs=0.006)
    assert found["high"] == pytest.approx(0.3 + reach, abs=0.006)


def test_perplexity_is_e_to_its_mean_and_so_are_its_bounds():
    nats = [Point("nats", str(number), number % 5, 2.0) for number in range(40)]
    found = points.figures(points.table([*nats, *(point._replace(figure="perplexity") for point in nats)]))
    for name, value in found["nats"].items():
        assert found["perplexity"][name] == pytest.approx(math.exp(value), rel=1e-4)
    ours, theirs = (points.table([Point("perplexity", unit, value) for unit in "ab"]) for value in (1.0, 2.0))
    assert points.difference(ours, theirs, "perplexity").value == pytest.approx(math.e - math.e**2)


def test_the_samples_of_a_prompt_are_drawn_together():
    """Eight equal samples each of 50 prompts tell no more than one of each does."""
    rights = [float(number % 2) for number in range(50)]
    one = points.figures(points.table(shares(rights)))["accuracy"]
    many = points.figures(points.table(shares(rights) * 8))["accuracy"]
    assert many == pytest.approx(one)


def test_a_figure_of_which_all_say_the_same_has_no_interval():
    assert points.figures(points.table(shares([1.0] * 8))) == {"accuracy": {"value": 1.0}}
    assert points.figures(points.table(shares([0.25]))) == {"accuracy": {"value": 0.25}}


def test_the_order_of_points_changes_no_interval():
    said = shares([float(number % 3 == 0) for number in range(99)])
    assert points.figures(points.table(said)) == points.figures(points.table(random.Random(0).sample(said, len(said))))


def test_models_are_compared_on_the_units_that_both_have():
    """A model that is right wherever the other is, and on seven more of 100, is surely better: paired, and only so."""
    base = [float(number < 40) for number in range(100)]
    better = [float(number < 47) for number in range(100)]
    ours, theirs = (points.table(shares(rights)) for rights in (better + [1.0] * 50, base))
    found = points.difference(ours, theirs, "accuracy")
    assert found.units == 100
    assert found.value == pytest.approx(0.07)
    assert 0 < found.low < 0.07 < found.high < 0.14
    assert found.p < 0.05
    turned = points.difference(theirs, ours, "accuracy")
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert turned.p == found.p


def test_few_units_call_nothing_different():
    """Of one unit every resample is the same, and of three that all differ one way nearly every one says so."""
    ours, theirs = (points.table(shares(rights)) for rights in ([0.311], [0.310]))
    assert points.difference(ours, theirs, "accuracy") is None
    ours, theirs = (points.table(shares(rights)) for rights in ([1.0] * 3, [0.0] * 3))
    assert points.difference(ours, theirs, "accuracy").p == 0.25
    assert points.difference(theirs, ours, "accuracy").p == 0.25


def test_a_model_is_no_better_than_itself():
    said = points.table(shares([0.0, 1.0, 1.0, 0.0]))
    assert points.difference(said, said, "accuracy") == (0, 0, 0, 1, 4)
    assert points.difference(said, points.table(shares([1.0], "margin")), "accuracy") is None


def test_of_equal_models_one_in_twenty_is_called_different():
    drawn = random.Random(0)
    tables = [
        [points.table(shares([float(drawn.random() < 0.5) for _ in range(200)])) for _ in range(2)] for _ in range(100)
    ]
    called = sum(points.difference(ours, theirs, "accuracy").p < 0.05 for ours, theirs in tables)
    assert 0 < called <= 12


DOCUMENTS = {"a": [1, 0, 0], "b": [1]}
GROUPS = {
    "each document counts alike": (2 / 4, 4),
    "each task counts alike": ((1 / 3 + 1) / 2, 4),
    "neither does": (0.9, 1),
}


@pytest.mark.parametrize(("value", "units"), GROUPS.values(), ids=GROUPS)
def test_a_group_of_tasks_is_the_mean_that_lm_eval_says_and_every_document_is_a_unit_of_it(value, units):
    samples = {
        task: [{"doc_id": i, "filter": "none", "acc": float(right)} for i, right in enumerate(scores)]
        for task, scores in DOCUMENTS.items()
    }
    results = {"both": {"alias": "both", "acc,none": value, "acc_stderr,none": "N/A"}, "a": {"acc,none": 1 / 3}}
    made, warnings = benchmarks.points_of(results, samples, {"both": ["a", "b"], "a": ["a"]})
    found = points.figures(points.table(made))
    assert found["both/acc"]["value"] == pytest.approx(value)
    assert found["a/acc"]["value"] == pytest.approx(1 / 3)
    assert len({point.unit for point in made if point.figure == "both/acc"}) == units
    assert ("low" in found["both/acc"]) is (units > 1) is (not warnings)
