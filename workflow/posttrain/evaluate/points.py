"""Figures, their intervals, and the differences of two models: all of one table of points, whatever a suite asked.

A point is what one unit (a prompt, a pair, a text) says of a figure, and how much that weighs; a figure is the mean of
its points by weight, or a function of it. Units are drawn anew together with all of their points, for the samples of a
prompt are alike.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

RESAMPLES = 1000  # of a figure
FUNCTIONS = {"perplexity": math.exp}  # of the mean, with which they grow; others are the mean
COMPARED = 10_000  # of a difference: of a thousand no p is below 0.002, which beside 25 others says nothing
BOUNDS = (2.5, 97.5)  # percentiles: an interval of 95 %


class Point(NamedTuple):
    """What a unit says of a figure."""

    figure: str
    unit: str
    value: float
    weight: float = 1.0  # the mean is Σ value / Σ weight


@dataclass
class Measured:
    """What an evaluation found."""

    samples: list[dict]  # rows of samples.parquet
    points: list[Point]
    counts: dict[str, int]  # of what was asked, and of what could not be
    warnings: list[str] = field(default_factory=list)  # what a reader of the figures must know


class Difference(NamedTuple):
    """By how much one model's figure is more than another's, on the units that both have."""

    value: float
    low: float
    high: float
    p: float  # chance of a difference as large, either way, if there were none
    units: int


def table(points: Iterable[Point]) -> pd.DataFrame:
    """Points as rows of points.parquet."""
    return pd.DataFrame(points, columns=Point._fields)


def figures(points: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Each figure's value, and the low and high end of its interval.

    The interval is the percentile bootstrap's (Efron 1979) of 95 %. A figure of which all units say the same has none:
    to draw them anew says nothing.
    """
    found = {}
    for name, rows in points.groupby("figure", sort=False):
        units, of_mean = by_unit(rows), FUNCTIONS.get(name, float)
        found[name] = {"value": of_mean(ratio(units))}
        mean = mean_of(units)
        drawn = [of_mean(mean(chosen)) for chosen in draws(len(units), RESAMPLES)]
        if min(drawn) < max(drawn):
            found[name] |= dict(zip(("low", "high"), np.percentile(drawn, BOUNDS).tolist(), strict=True))
    return found


def difference(ours: pd.DataFrame, theirs: pd.DataFrame, figure: str) -> Difference | None:
    """Ours less theirs, paired by unit; None if they have not two units in common, for one says nothing of chance.

    p counts the resamples whose difference has another sign, or none, twice (Efron & Tibshirani 1993, ch. 15). It is no
    less than a sign test could make it of the units that differ: resamples of a few that all differ one way agree.
    """
    mine, other = (by_unit(points[points.figure == figure]) for points in (ours, theirs))
    both = mine.index.intersection(other.index)
    if len(both) < 2:
        return None
    mine, other, of_mean = mine.loc[both], other.loc[both], FUNCTIONS.get(figure, float)
    ours_of, theirs_of = mean_of(mine), mean_of(other)
    drawn = [of_mean(ours_of(chosen)) - of_mean(theirs_of(chosen)) for chosen in draws(len(both), COMPARED)]
    one_side = min(sum(value <= 0 for value in drawn), sum(value >= 0 for value in drawn))
    low, high = np.percentile(drawn, BOUNDS).tolist()
    differing = int((mine.value / mine.weight != other.value / other.weight).sum())
    p = min(max(2 * (one_side + 1) / (COMPARED + 1), 2.0 ** (1 - differing)), 1.0)
    return Difference(of_mean(ratio(mine)) - of_mean(ratio(other)), low, high, p, len(both))


def by_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """The sums of value and weight of each unit, in the order of their names: the same draws take the same units."""
    return rows.groupby("unit", sort=True)[["value", "weight"]].sum()


def ratio(units: pd.DataFrame) -> float:
    return float(units.value.sum() / units.weight.sum())


def mean_of(units: pd.DataFrame) -> Callable[[np.ndarray], float]:
    """What says the figure of the units at some places."""
    values, weights = units.value.to_numpy(), units.weight.to_numpy()
    return lambda chosen: float(values[chosen].sum() / weights[chosen].sum())


def draws(count: int, times: int) -> Iterator[np.ndarray]:
    """The places of as many units as there are, drawn anew again and again, by one seed."""
    drawn = np.random.default_rng(0)
    for _ in range(times):
        yield drawn.integers(count, size=count)
