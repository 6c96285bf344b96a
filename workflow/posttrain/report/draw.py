"""Numbers as lines and bars: where each goes, for the template to write."""

import re
import statistics
from typing import Any

ROW = 48  # pixels of a lineage row
REACH = 84  # pixels that the widest arc can reach out from its rows
# What is a share: ours, what a judge is seen by, and lm-eval's metrics.
OURS = ("accuracy", "sampled_accuracy", "finished", "win_rate")
JUDGES = ("inconsistent", "first_place", "longer", "unrated", "unjudged")
SHARES = re.compile(rf"{'|'.join((*OURS, *JUDGES))}|pass@\d+|(\w+_)?acc(_norm)?|exact_match|by_lot")
WIDTH, HEIGHT = 300, 110  # of a curve, in its own units


def bars(title: str, figure: str, said: dict[str, dict]) -> dict:
    """A bar a model, with its interval as a whisker; shares are drawn on a scale to 100 %, anything else on one to the
    largest.

    Args:
        said: of each model the figure's `value` and, where it has an interval, its `low` and `high`.
    """
    top = 1 if share(figure) else max(abs(number) for made in said.values() for number in made.values()) or 1

    def width(number: float) -> float:
        return 100 * min(max(number / top, 0), 1)

    made = []
    for model, found in said.items():
        bar = {"model": model, "value": worth(figure, found["value"]), "width": width(found["value"]), "interval": ""}
        if "low" in found:
            low, high = width(found["low"]), width(found["high"])
            bar |= {"interval": interval(figure, found), "low": low, "reach": high - low}
        made.append(bar)
    return {"title": title, "figure": figure, "bars": made}


def share(figure: str) -> bool:
    """Whether a figure is a share, by its name; lm-eval's are `task/metric`, or `task/metric/filter`."""
    task, slash, metric = figure.partition("/")
    return bool(SHARES.fullmatch(metric.partition("/")[0] if slash else task))


def worth(figure: str, value: float) -> str:
    """A figure as a person says it: shares in per cent."""
    return f"{100 * value:.1f} %" if share(figure) else f"{value:.2f}"


def interval(figure: str, found: dict) -> str:
    """The ends of a figure's interval."""
    scale, digits = (100, 1) if share(figure) else (1, 2)
    return f"{scale * found['low']:.{digits}f} to {scale * found['high']:.{digits}f}"


def change(figure: str, difference: Any) -> str:
    """A difference of two figures, and its interval; of shares in percentage points."""
    scale, digits = (100, 1) if share(figure) else (1, 2)
    value, low, high = (f"{scale * number:+.{digits}f}".replace("-", "−") for number in difference[:3])
    return f"{value} ({low} to {high})"


def chance(p: float) -> str:
    """A p-value as a person says it."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def curve(title: str, *lines: list[tuple[float, float]]) -> dict:
    """Lines through (step, value) in one frame, scaled to fill it."""
    steps, values = zip(*[point for points in lines for point in points], strict=True)
    low, high, first, last = min(values), max(values), min(steps), max(steps)

    def place(step: float, value: float) -> tuple[float, float]:
        x, y = (step - first) / ((last - first) or 1), (high - value) / ((high - low) or 1)
        return round(WIDTH * x, 1), round(HEIGHT * y, 1)

    drawn = [
        {
            "line": " ".join("{},{}".format(*place(*point)) for point in points),
            "end": place(*points[-1]),
            "first": short(points[0][1]),
            "last": short(points[-1][1]),
        }
        for points in lines
    ]
    return {"title": title, "lines": drawn, "low": short(low), "high": short(high), "steps": last}


def histogram(title: str, values: list[float], bins: int) -> dict:
    """Bars of how many values lie in each of so many equal parts of their range, scaled to fill a curve's frame."""
    low, high = min(values), max(values)
    counts = [0] * bins
    for value in values:
        counts[min(int(bins * (value - low) / ((high - low) or 1)), bins - 1)] += 1
    step, most = WIDTH / bins, max(counts)
    bars = [
        {"x": round(i * step, 1), "width": round(step - 1, 1), "height": (tall := round(HEIGHT * count / most, 1))}
        | {"y": round(HEIGHT - tall, 1)}
        for i, count in enumerate(counts)
    ]
    middle = short(statistics.median(values))
    return {"title": title, "bars": bars, "low": short(low), "high": short(high), "most": most, "median": middle}


def short(value: float) -> str:
    """Three digits, and two of what is small: a label has room for six characters. What rounding leaves is nothing."""
    if abs(value) < 1e-6:
        return "0"
    return f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.2g}"


def size(count: int | None) -> str:
    """Bytes as GB, or as MB where there are few; nothing if they were not counted."""
    if count is None:
        return ""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def arcs(rows: list[dict]) -> dict:
    """Rows under each other, and beside them an arc from each to those it is made from: the further, the wider."""
    edges = [(start, end) for end, row in enumerate(rows) for start in row["inputs"]]
    x = max((width(*edge) for edge in edges), default=0) + 8
    made = [{"kind": rows[start]["kind"], "line": arc(x, start, end)} for start, end in edges]
    return {"rows": rows, "arcs": made, "row": ROW, "x": x, "gutter": x + 14, "height": ROW * len(rows)}


def width(start: int, end: int) -> int:
    """How far the arc between two rows reaches out: neighbours' a little, that of distant ones up to REACH."""
    return round(REACH * (1 - 0.85 ** (end - start)))


def arc(x: float, start: int, end: int) -> str:
    """A Bézier curve from one row's middle to another's; it reaches out three quarters of its handles."""
    top, bottom, out = ROW * start + ROW / 2, ROW * end + ROW / 2, round(x - width(start, end) / 0.75, 1)
    return f"M{x} {top:g} C{out} {top:g} {out} {bottom:g} {x} {bottom:g}"
