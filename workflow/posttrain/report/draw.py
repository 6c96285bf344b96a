"""Numbers as lines and bars: where each goes, for the template to write."""

ROW = 48  # pixels of a lineage row
REACH = 84  # pixels that the widest arc can reach out from its rows
WIDTH, HEIGHT = 300, 110  # of a curve, in its own units


def bars(title: str, key: str, figures: list[dict]) -> dict:
    """A bar a model; shares are drawn on a scale to 100 %, anything else on one to the largest."""
    values = {row["model"]: row[key] for row in figures}
    share = key.endswith("accuracy")
    top = 1 if share else max(values.values()) or 1
    made = [
        {"model": model, "value": f"{100 * value:.1f} %" if share else f"{value:.2f}", "width": 100 * value / top}
        for model, value in values.items()
    ]
    return {"title": title, "bars": made}


def curve(title: str, points: list[tuple[float, float]]) -> dict:
    """A line through (step, value), scaled to fill its frame."""
    steps, values = [step for step, _ in points], [value for _, value in points]
    low, high = min(values), max(values)

    def x(step: float) -> float:
        return round(WIDTH * (step - steps[0]) / (steps[-1] - steps[0]), 1)

    def y(value: float) -> float:
        return round(HEIGHT * (high - value) / ((high - low) or 1), 1)

    line = " ".join(f"{x(step)},{y(value)}" for step, value in points)
    said = {"low": short(low), "high": short(high), "first": short(values[0]), "last": short(values[-1])}
    return {"title": title, "line": line, "y": y(values[-1]), "steps": steps[-1], **said}


def short(value: float) -> str:
    """Three digits, and two of what is small: a label has room for six characters."""
    return f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.2g}"


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
