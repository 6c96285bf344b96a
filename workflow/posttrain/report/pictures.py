"""The guide's pictures: SVG that is drawn of equal builds byte for byte."""

import io
import math
from collections.abc import Iterable

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import PercentFormatter

from posttrain.files import Refusal, read_json
from posttrain.plan.lineage import lineage
from posttrain.plan.pictures import KINDS, PAGE
from posttrain.report.curves import history, logged
from posttrain.report.draw import share, short
from posttrain.report.naming import LISTED, what
from posttrain.report.tree import nearest_named
from posttrain.words import did_you_mean

COLOURS = ("#2f5d8a", "#c58a1f", "#3f8f86", "#c4576b", "#8a63b8", "#7a766c")
TINTS = dict(zip(("models", "completions", "data", "preferences", "scores", "hub"), COLOURS, strict=True))
TINTS["checkpoints"] = "#5b87b3"  # the models', paler, as on pages
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and is drawn in the reader's own letters
    "svg.hashsalt": "posttrain",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 10,
    "legend.frameon": False,
}
WIDTH, HEIGHT = 4.2, 2.7  # inches, of a picture of lines
BAR, ROW = 0.32, 0.36  # inches, of a bar and of a row of a lineage
BINS = 30


def draw(said: dict, targets: dict[str, dict]) -> str:
    """A picture, as the text of its file.

    Args:
        said: what docs/pictures.yaml says of it.
    """
    kind = next(kind for kind in DRAWN if kind in said)
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        figure.suptitle(said["title"], x=0, horizontalalignment="left")
        frame = figure.subplots()
        DRAWN[kind](frame, said[kind], targets)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def lines(frame: Axes, said: dict[str, tuple[str, str]], _: dict) -> None:
    """What models' trainers logged, each by a word of theirs, over the steps."""
    for label, (model, word) in said.items():
        rows = history(f"models/{model}")
        if not (points := logged(rows, word)):
            raise unknown(word, f"models/{model}", {key for row in rows for key in row})
        frame.plot(*zip(*points, strict=True), label=label)
    frame.set_xlabel("step")
    if len(said) > 3:
        frame.figure.legend(loc="outside lower center", ncols=2)  # inside it would lie on the lines
    elif len(said) > 1:
        frame.legend()


def bars(frame: Axes, said: dict[str, tuple[str, str]], _: dict) -> None:
    """Figures of evaluations, each with its interval where it has one."""
    figures = {}
    for label, (path, word) in said.items():
        found = read_json(f"evals/{path}/figures.json")["figures"]
        if word not in found:
            raise unknown(word, f"evals/{path}", found)
        figures[label] = found[word]
    put_bars(frame, figures, all(share(word) for _, word in said.values()))


def unknown(word: str, path: str, known: Iterable[str]) -> Refusal:
    """The answer to a word that a picture is to show, and that nobody wrote down."""
    return Refusal(f"{PAGE}: {path} has no {word}. {did_you_mean(word, sorted(known))}".rstrip())


def put_bars(frame: Axes, figures: dict[str, dict[str, float]], shares: bool) -> None:
    """Bars below each other; shares are drawn on a scale to 100 %, anything else on one to the largest."""
    ends = [figure.get("high", figure["value"]) for figure in figures.values()]
    for row, figure in enumerate(figures.values()):
        value = figure["value"]
        frame.barh(row, value, color=COLOURS[0], height=0.7)
        if "low" in figure:
            frame.plot([figure["low"], figure["high"]], [row, row], color="#22211f", linewidth=1)
        label = f"{value:.1%}" if shares else short(value)
        frame.annotate(label, (ends[row], row), (4, 0), textcoords="offset points", verticalalignment="center")
    frame.set_yticks(range(len(figures)), figures)
    frame.invert_yaxis()
    frame.set_xlim(0, 1.2 * (1 if shares else max(ends)))
    if shares:
        frame.xaxis.set_major_formatter(PercentFormatter(1))
        frame.set_xticks([0, 0.25, 0.5, 0.75, 1])
    frame.figure.set_figheight(0.8 + BAR * len(figures))


def spread(frame: Axes, said: dict[str, str], _: dict) -> None:
    """How some scores lie where the same completions are right, and where they are wrong."""
    found = scores_of(said)
    groups = {"right": found[found.truth >= 1].of, "wrong": found[found.truth < 1].of}
    labels = [f"{name} ({len(group)})" for name, group in groups.items()]
    colours = (COLOURS[2], COLOURS[3])
    frame.hist(groups.values(), BINS, label=labels, color=colours, histtype="stepfilled", alpha=0.6, density=True)
    frame.set_yticks([])
    frame.set_xlabel("score")
    frame.legend()


def choice(frame: Axes, said: dict[str, str], _: dict) -> None:
    """How often the answer to a prompt is right that is drawn, that some scores like best, or that is the best."""
    found = scores_of(said)
    found["truth"] = found.truth >= 1
    prompts = found.groupby("prompt_id")
    shares = {"by lot": prompts.truth.mean().mean()}
    shares |= {name: found.truth[prompts[name].idxmax()].mean() for name in said if name != "truth"}
    shares["by the verifier"] = prompts.truth.max().mean()
    put_bars(frame, {name: {"value": value} for name, value in shares.items()}, shares=True)


def scores_of(said: dict[str, str]) -> pd.DataFrame:
    """Several scores of the same completions side by side, of those that have all."""
    tables = {name: pd.read_parquet(f"scores/{scores}/scores.parquet") for name, scores in said.items()}
    columns = {name: table.set_index(["prompt_id", "sample"])["score"] for name, table in tables.items()}
    return pd.DataFrame(columns).dropna()


def drawn_lineage(frame: Axes, path: str, targets: dict[str, dict]) -> None:
    """What a target is made of, in the order of building, with an arc from each row to what is made of it."""
    named = [made for made in lineage(targets, path) if made.split("/")[0] in LISTED]
    row = {made: number for number, made in enumerate(named)}
    for made, end in row.items():
        kind = made.split("/")[0]
        for start in sorted({row[near] for near in nearest_named(targets, made, row)}):
            out = -math.log2(1 + end - start) / 4
            curve = Curve([(0, start), (out, start), (out, end), (0, end)], [Curve.MOVETO, *[Curve.CURVE4] * 3])
            colour = TINTS[named[start].split("/")[0]]
            frame.add_patch(PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=1.2))
        frame.plot(0, end, "o", color=TINTS[kind], markersize=5)
        frame.text(0.05, end - 0.15, made, color=TINTS[kind], verticalalignment="center")
        frame.text(0.05, end + 0.25, what(targets, made), fontsize=7, verticalalignment="center")
    frame.set(xlim=(-0.85, 2.2), ylim=(len(named) - 0.5, -0.5))
    frame.set_axis_off()
    frame.figure.set_figheight(0.4 + ROW * len(named))


DRAWN = dict(zip(KINDS, (lines, bars, spread, choice, drawn_lineage), strict=True))
