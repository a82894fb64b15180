"""What a person reads of a run: tables and plots."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
from matplotlib.figure import Figure


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in markdown.

    >>> print(markdown_table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def plot_history(history: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw the loss curve and the validation metrics over the optimizer updates.

    Args:
        history: Lines of `metrics.jsonl`: training lines have `loss`, evaluation lines
            an `evaluation` mapping.
        folder: Where `loss.png` and, with evaluations, `metrics.png` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = [line for line in history if "evaluation" in line]
    steps = [line["step"] for line in evaluations]
    scores = pandas.DataFrame([x["evaluation"] for x in evaluations], index=steps)
    training = [line for line in history if "loss" in line]
    losses = pandas.Series(
        [line["loss"] for line in training], index=[line["step"] for line in training]
    )
    curves = {
        "training, each update": losses,
        "training, smoothed": smoothed(losses),
    }
    if evaluations:
        curves["validation"] = scores.pop("loss")
    paths = [_draw(folder / "loss.png", "loss per label", curves)]
    if len(scores.columns):
        columns = {name: scores[name] for name in scores}
        paths.append(_draw(folder / "metrics.png", "validation metric", columns))
    return paths


def smoothed(losses: pandas.Series) -> pandas.Series:
    """A noisy curve as an exponential mean over about a 25th of its points.

    >>> smoothed(pandas.Series([1.0, 0.0, 0.0])).tolist()
    [1.0, 0.25, 0.07692307692307693]
    """
    return losses.ewm(span=max(2, len(losses) // 25)).mean()


def _draw(path: Path, label: str, curves: Mapping[str, pandas.Series]) -> Path:
    # The object interface: pyplot would keep figures and pick a window system.
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        is_raw, is_dense = name.endswith("each update"), name.startswith("training")
        axes.plot(
            curve.index,
            curve.to_numpy(),
            "-" if is_dense else "o-",
            alpha=0.25 if is_raw else 1.0,
            label=name,
        )
    axes.set(xlabel="optimizer updates", ylabel=label)
    axes.legend()
    figure.savefig(path, dpi=120)
    return path
