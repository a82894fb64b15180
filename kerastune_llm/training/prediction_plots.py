"""Plots of a run's predictions: where labels are confused, how length matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

OTHER = "(other)"
# More labels than these cannot be read in one figure.
MOST_LABELS = 40
GROUPS = 10


def plot_confusion(
    records: Sequence[Mapping[str, Any]], labels: Sequence[str], path: Path
) -> Path | None:
    """Draw how often each true label is predicted as which.

    Args:
        records: Lines of `predictions/validation.jsonl`.
        labels: Label names in index order; another prediction counts as `(other)`.
        path: The png to write; nothing is written for more than 40 labels.
    """
    if len(labels) > MOST_LABELS:
        return None
    counts = confusion(records, labels)
    shown = [*labels, OTHER] if counts.shape[1] > len(labels) else list(labels)
    figure = Figure(figsize=(1.5 + 0.6 * len(shown), 1.5 + 0.5 * len(labels)))
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(shown)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return path


def confusion(
    records: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> np.ndarray:
    """Counts `[true, predicted]`, with a last column where other texts were written.

    >>> rows = [{"prediction": "yes", "references": ["no"]},
    ...         {"prediction": "maybe", "references": ["yes"]}]
    >>> confusion(rows, ["no", "yes"]).tolist()
    [[0, 1, 0], [0, 0, 1]]
    """
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1), dtype=int)
    for record in records:
        predicted = index.get(record["prediction"], len(labels))
        counts[index[record["references"][0]], predicted] += 1
    return counts if counts[:, -1].any() else counts[:, :-1]


def plot_lengths(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw each row's score over the length of its input, and the mean of like lengths.

    Args:
        records: Lines of `predictions/validation.jsonl`.
        path: The png to write.
    """
    lengths = np.array([len(record["input"].split()) for record in records])
    scores = np.array([record["score"] for record in records])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(lengths, scores, ".", alpha=0.25, label="rows")
    means = length_groups(lengths, scores)
    axes.plot(*means, "o-", label="mean of rows of like length")
    axes.set(xlabel="words of the input", ylabel="score")
    axes.legend()
    figure.savefig(path, dpi=120)
    return path


def length_groups(
    lengths: np.ndarray, scores: np.ndarray
) -> tuple[list[float], list[float]]:
    """Mean length and mean score of ten groups of equally many rows, short to long.

    >>> length_groups(np.array([9, 1]), np.array([0.0, 100.0]))
    ([1.0, 9.0], [100.0, 0.0])
    """
    order = np.argsort(lengths, kind="stable")
    groups = np.array_split(order, min(GROUPS, len(order)))
    return (
        [float(lengths[group].mean()) for group in groups],
        [float(scores[group].mean()) for group in groups],
    )
