"""Several metrics at once, and the score of a single row."""

from collections.abc import Sequence
from typing import Any

from kerastune_llm.registry import METRICS


def score(
    metrics: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]
) -> dict[str, float]:
    """The values of all `metrics`, flat by name.

    Args:
        metrics: Names in the metric register.
        predictions: One text or one label index a row.
        references: The accepted answers, or the label index, of each row.

    Raises:
        ValueError: No rows, unequal numbers of them, or two metrics with one name.

    Example:
    >>> score(["accuracy", "f1"], [1, 0], [1, 0])
    {'accuracy': 1.0, 'f1': 1.0}
    """
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(
            "Predictions and references must be equally many, and at least one. "
            f"Received: {len(predictions)} and {len(references)}"
        )
    values: dict[str, float] = {}
    for name in metrics:
        found = METRICS.get(name)(predictions, references)
        twice = values.keys() & found.keys()
        if twice:
            raise ValueError(f"Two metrics give {', '.join(sorted(twice))}.")
        values |= found
    return values


def row_score(metrics: Sequence[str], prediction: Any, reference: Any) -> float:
    """How good one prediction is by itself.

    For texts it is the first value of the first metric on this row alone; for labels,
    whose metrics mean little on one row, 1.0 when right and 0.0 when wrong.

    >>> row_score(["squad"], "the Nile", ["Nile", "river"])
    100.0
    >>> row_score(["matthews_correlation"], 1, 0)
    0.0
    """
    if not isinstance(prediction, str):
        return float(prediction == reference)
    return next(iter(METRICS.get(metrics[0])([prediction], [reference]).values()))
