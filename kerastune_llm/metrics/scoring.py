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
        predictions: One text, label index, number or list of label indices a row.
        references: The same of each row; for texts the list of accepted ones.

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
    """How good one prediction is by itself; the higher the better.

    For texts it is the first value of the first metric on this row alone. The metrics
    of the others mean little on one row: for a label it is 1.0 when right and 0.0 when
    wrong, for several labels the F1 of the two sets, for a number minus its distance
    from the reference.

    >>> row_score(["squad"], "the Nile", ["Nile", "river"])
    100.0
    >>> row_score(["matthews_correlation"], 1, 0)
    0.0
    >>> row_score(["pearson"], 2.5, 3.0)
    -0.5
    >>> row_score(["multilabel_micro_f1"], [0, 1], [1])
    0.6666666666666666
    """
    if isinstance(prediction, str):
        values = METRICS.get(metrics[0])([prediction], [reference])
        return next(iter(values.values()))
    if isinstance(prediction, float):
        return -abs(prediction - reference)
    if isinstance(prediction, list):
        found, true = set(prediction), set(reference)
        return 2 * len(found & true) / (len(found) + len(true)) if found | true else 1.0
    return float(prediction == reference)
