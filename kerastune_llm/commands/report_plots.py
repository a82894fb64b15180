"""The plots of a report, as SVG that takes the page's font and colours."""

import functools
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerastune_llm.commands.report_runs import ReportedRun
from kerastune_llm.training.prediction_plots import length_groups
from kerastune_llm.training.reports import smoothed

# Read on white and on black alike; beyond them the line's style tells runs apart.
COLOURS = (
    "#4a90d9",
    "#e0803a",
    "#3fae6b",
    "#d05a5a",
    "#9b7fd4",
    "#b8860b",
    "#d46fb0",
    "#5fb0b7",
)
STYLES = ("-", "--", ":", "-.")
# Replaced by the page's own colour of text.
INK = "#010203"
STYLE = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}


def plots(runs: Sequence[ReportedRun]) -> dict[str, str]:
    """Each plot by its title: losses, metrics by step, scores by length of input."""
    found = {"training loss per label, smoothed": _plot("loss", runs, _losses)}
    names = dict.fromkeys(
        name for run in runs for name in _evaluations(run) if name in run.shown_metrics
    )
    for name in names:
        title = "validation loss per label" if name == "loss" else name
        curve = functools.partial(_evaluated, name=name)
        found[title] = _plot(f"validation {name}", runs, curve, marker="o")
    if any(len(_by_length(run)) for run in runs):
        found["score by length of the input"] = _plot(
            "lengths", runs, _by_length, marker="o", xlabel="words of the input"
        )
    return {title: svg for title, svg in found.items() if svg}


def colour(index: int) -> str:
    """The colour of the run with that place."""
    return COLOURS[index % len(COLOURS)]


def _losses(run: ReportedRun) -> pandas.Series:
    lines = [line for line in run.history if "loss" in line]
    steps = [line["step"] for line in lines]
    return smoothed(pandas.Series([x["loss"] for x in lines], index=steps, dtype=float))


def _evaluations(run: ReportedRun) -> Mapping[str, pandas.Series]:
    lines = [line for line in run.history if "evaluation" in line]
    table = pandas.DataFrame(
        [line["evaluation"] for line in lines],
        index=[line["step"] for line in lines],
        dtype=float,
    )
    return {name: table[name] for name in table}


def _evaluated(run: ReportedRun, name: str) -> pandas.Series:
    return _evaluations(run).get(name, pandas.Series(dtype=float))


def _by_length(run: ReportedRun) -> pandas.Series:
    if run.task.kind != "seq2seq" or not run.records:
        return pandas.Series(dtype=float)
    lengths = np.array([len(record["input"].split()) for record in run.records])
    scores = np.array([record["score"] for record in run.records])
    places, means = length_groups(lengths, scores)
    return pandas.Series(means, index=places)


def _plot(
    name: str,
    runs: Sequence[ReportedRun],
    curve: Callable[[ReportedRun], pandas.Series],
    *,
    marker: str = "",
    xlabel: str = "optimizer updates",
) -> str:
    """A line for each run that has points; empty where none has."""
    curves = [curve(run) for run in runs]
    if not any(map(len, curves)):
        return ""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.subplots()
        for index, points in enumerate(curves):
            _draw(axes, index, points, marker)
        axes.set(xlabel=xlabel)
        axes.grid(alpha=0.2, color=INK)
        if name == "loss":
            axes.set_yscale("log")
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def _draw(axes: Axes, index: int, points: pandas.Series, marker: str) -> None:
    axes.plot(
        points.index,
        points.to_numpy(),
        STYLES[index // len(COLOURS) % len(STYLES)],
        color=colour(index),
        marker=marker,
        markersize=4,
    )
