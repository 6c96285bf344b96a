"""Models against each other: by how much their figures differ, and whether that may be chance."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from posttrain.evaluate import points
from posttrain.evaluate.points import Difference
from posttrain.report.suites import Suite

LEVEL = 0.05  # the chance that is taken of calling any difference of chance significant


class Comparison(NamedTuple):
    """A figure of a model less that of another, on the units that both were measured on."""

    suite: str
    figure: str
    model: str
    base: str
    difference: Difference
    significant: bool


def compared(
    suites: Iterable[Suite], against: Callable[[Suite], dict[str, str]], figures: Callable[[Suite], Iterable[str]]
) -> list[Comparison]:
    """The differences of each model to its counterpart.

    Significant is what stays so when all of them are counted (Holm 1979).

    Args:
        against: says the counterparts of a suite's models.
        figures: says which of a suite's figures are looked at.
    """
    found = [
        (suite.name, figure, model, base, difference)
        for suite in suites
        for model, base in against(suite).items()
        for figure in figures(suite)
        if (difference := points.difference(suite.points[model], suite.points[base], figure))
    ]
    kept = holm([difference.p for *_, difference in found])
    return [Comparison(*said, significant) for said, significant in zip(found, kept, strict=True)]


def holm(chances: list[float]) -> list[bool]:
    """Which of these p-values are significant together: the smallest is held to LEVEL over their number, the next to
    LEVEL over one less, and so on up to the first that is not.
    """
    kept, order = [False] * len(chances), sorted(range(len(chances)), key=chances.__getitem__)
    for rank, place in enumerate(order):
        if chances[place] > LEVEL / (len(chances) - rank):
            break
        kept[place] = True
    return kept
