"""The pictures of a study: how methods converge, and how tasks transfer."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerastune_llm.training.comparison import Points, Record, by_group
from kerastune_llm.training.reports import smoothed

# Ten colours of matplotlib's cycle; beyond them the line's style tells groups apart.
_STYLES = ("-", "--", ":", "-.")
_COLOURS = 10
# Characters of a name beyond which the names stand below the plot, not beside it.
_LONG = 24


def plot_convergence(records: Iterable[Record], metric: str, path: Path) -> None:
    """Draw the metric and the smoothed training loss over the optimizer updates.

    One line a group, the mean over its runs, in a band from the lowest to the highest
    of them.

    Args:
        records: The runs.
        metric: Name of the metric, for the axis.
        path: The png to write.
    """
    groups = by_group(records)
    is_long = max(map(len, groups)) > _LONG
    height = 4.2 + 0.25 * len(groups) if is_long else 4.2
    figure = Figure(figsize=(11, height), layout="constrained")
    scores, losses = figure.subplots(1, 2)
    for index, (group, runs) in enumerate(groups.items()):
        style = _STYLES[index // _COLOURS % len(_STYLES)]
        curves = [_series(run.evaluations) for run in runs]
        _draw_band(scores, group, curves, f"o{style}")
        _draw_band(
            losses, group, [smoothed(_series(run.losses)) for run in runs], style
        )
    scores.set(xlabel="optimizer updates", ylabel=metric)
    losses.set(
        xlabel="optimizer updates",
        ylabel="training loss per label, smoothed",
        yscale="log",
    )
    place = "outside lower left" if is_long else "outside right upper"
    figure.legend(*scores.get_legend_handles_labels(), loc=place)
    _save(figure, path)


def _series(points: Points) -> pandas.Series:
    return pandas.Series(dict(points), dtype=float)


def _draw_band(
    axes: Axes, label: str, curves: Sequence[pandas.Series], style: str
) -> None:
    table = pandas.concat(curves, axis="columns").sort_index()
    (line,) = axes.plot(
        table.index, table.mean(axis=1).to_numpy(), style, label=label, markersize=4
    )
    if len(curves) > 1:
        low, high = table.min(axis=1).to_numpy(), table.max(axis=1).to_numpy()
        axes.fill_between(table.index, low, high, color=line.get_color(), alpha=0.2)


def plot_heat_map(
    scores: pandas.DataFrame, shares: pandas.DataFrame, path: Path
) -> None:
    """Draw a matrix: the number in a cell is the score, its colour the share.

    Args:
        scores: Rows by what was trained on, columns by what was scored on.
        shares: The same in units of the column's own score; the colours go from 0 to
            1, and what is not a number is grey.
        path: The png to write.
    """
    size = (3.2 + 1.1 * len(scores.columns), 1.6 + 0.6 * len(scores))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("lightgrey")
    image = axes.imshow(
        shares.to_numpy(), cmap="viridis", vmin=0, vmax=1, aspect="auto"
    )
    axes.set_xticks(range(len(scores.columns)), scores.columns)
    axes.set_yticks(range(len(scores)), scores.index)
    axes.set(xlabel="scored on", ylabel="trained on")
    for row, column in np.ndindex(scores.shape):
        # The colours are dark below 0.6; the grey is light.
        is_dark = shares.iloc[row, column] < 0.6
        axes.text(
            column,
            row,
            f"{scores.iloc[row, column]:.3g}",
            ha="center",
            va="center",
            color="white" if is_dark else "black",
        )
    figure.colorbar(image, label="share of the column's own score")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
