"""How sure a score is: 95 % intervals by resampling rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerastune_llm.metrics.scoring import score
from kerastune_llm.registry import METRICS

RESAMPLES = 1000
LOW, HIGH = 2.5, 97.5

# Row numbers `[rows]` to values by name.
Resampled = Callable[[np.ndarray], dict[str, float]]


def score_with_intervals(
    metrics: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]
) -> dict[str, float]:
    """The values of `score`, each with `NAME_low` and `NAME_high`.

    Between them lie the middle 95 % of the values on 1,000 samples of as many rows,
    drawn with replacement from a fixed seed: what other rows of the same kind would
    have given.

    Source: Efron 1979, "Bootstrap methods"; the percentile interval.

    Raises:
        ValueError: As `score`.

    Example:
    >>> values = score_with_intervals(["accuracy"], [1, 1, 0, 0], [1, 1, 1, 0])
    >>> values["accuracy_low"] < values["accuracy"] < values["accuracy_high"]
    True
    """
    values = score(metrics, predictions, references)
    intervals: dict[str, float] = {}
    for name in metrics:
        resampled = _resampled(name, predictions, references)
        rng = np.random.default_rng(0)
        count = len(predictions)
        drawn = [resampled(rng.integers(0, count, count)) for _ in range(RESAMPLES)]
        for key in values.keys() & drawn[0].keys():
            found = [sample[key] for sample in drawn if key in sample]
            low, high = np.percentile(found, [LOW, HIGH])
            intervals |= {f"{key}_low": float(low), f"{key}_high": float(high)}
    return values | dict(sorted(intervals.items()))


def _resampled(
    name: str, predictions: Sequence[Any], references: Sequence[Any]
) -> Resampled:
    """The metric on chosen rows; of a metric that is a mean over rows, their mean."""
    metric = METRICS.get(name)
    whole = metric(predictions, references)
    pairs = zip(predictions, references, strict=True)
    rows = [metric([prediction], [reference]) for prediction, reference in pairs]
    if all(row.keys() == whole.keys() for row in rows):
        columns = {key: np.array([row[key] for row in rows]) for key in whole}
        if all(np.isclose(columns[key].mean(), whole[key]) for key in whole):
            return lambda chosen: {
                key: column[chosen].mean() for key, column in columns.items()
            }
    return lambda chosen: metric(
        [predictions[row] for row in chosen], [references[row] for row in chosen]
    )
