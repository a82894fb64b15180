"""The pictures of a search for hyper-parameters."""

from collections.abc import Mapping
from pathlib import Path

import pandas
from matplotlib.figure import Figure


def best_so_far(trials: pandas.DataFrame, *, use_lowest: bool = False) -> pandas.Series:
    """The best score of the completed trials up to each one of them.

    Args:
        trials: `score` and `is_complete`, in order.
        use_lowest: Whether lower is better.

    Example:
    >>> table = {"score": [0.1, 0.9, 0.3], "is_complete": [True, False, True]}
    >>> best_so_far(pandas.DataFrame(table)).tolist()
    [0.1, 0.3]
    """
    scores = trials["score"][trials["is_complete"]]
    return scores.cummin() if use_lowest else scores.cummax()


def plot_search(
    trials: pandas.DataFrame, metric: str, path: Path, *, use_lowest: bool = False
) -> None:
    """Draw the score of each trial and the best so far over the trials.

    Args:
        trials: `score` and `is_complete` by the trial's number.
        metric: Name of the metric, for the axis.
        path: The png to write.
        use_lowest: Whether lower is better.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    complete = trials[trials["is_complete"]]
    stopped = trials[~trials["is_complete"]]
    axes.plot(complete.index, complete["score"].to_numpy(), "o", label="ran through")
    axes.plot(stopped.index, stopped["score"].to_numpy(), "x", label="stopped early")
    best = best_so_far(trials, use_lowest=use_lowest)
    axes.step(best.index, best.to_numpy(), where="post", label="best so far")
    axes.set(xlabel="trial", ylabel=metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside right upper")
    _save(figure, path)


def plot_importances(importances: Mapping[str, float], path: Path) -> None:
    """Draw the importance of each flag as a bar, the largest at the top.

    Args:
        importances: By flag; they sum to 1.
        path: The png to write.
    """
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(importances)), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(importances.items(), key=lambda pair: pair[1])
    axes.barh([name for name, _ in ordered], [value for _, value in ordered])
    axes.set(xlabel="importance")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
