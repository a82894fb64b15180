"""Metrics of labels, equal to scikit-learn's; values are 0 to 1 (Matthews -1 to 1).

Predictions and references are label indices. A prediction of -1 stands for a generated
text that names no label: it is wrong, and a class of its own for Matthews.
"""

from collections.abc import Sequence

import numpy as np

from kerastune_llm.errors import UserError
from kerastune_llm.registry import METRICS


@METRICS.register
def accuracy(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Share of predictions equal to their reference.

    >>> accuracy([1, 0, -1, 1], [1, 0, 0, 0])
    {'accuracy': 0.5}
    """
    right = np.asarray(predictions) == np.asarray(references)
    return {"accuracy": float(right.mean())}


@METRICS.register
def matthews_correlation(
    predictions: Sequence[int], references: Sequence[int]
) -> dict[str, float]:
    """Correlation of predicted and true classes; 0 where one side has one class only.

    With the confusion matrix C (true by predicted), its row sums t, column sums p, its
    trace c and total s: (c s - t·p) / sqrt((s² - p·p) (s² - t·t)).

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category
    correlation coefficient".

    >>> matthews_correlation([1, 1, 0, 0], [1, 0, 0, 0])["matthews_correlation"]
    0.5773502691896258
    """
    matrix = _confusion(predictions, references).astype(float)
    true, predicted, total = matrix.sum(1), matrix.sum(0), matrix.sum()
    covariance = np.trace(matrix) * total - true @ predicted
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    value = covariance / np.sqrt(spread) if spread > 0 else 0.0
    return {"matthews_correlation": float(value)}


@METRICS.register
def precision(
    predictions: Sequence[int], references: Sequence[int]
) -> dict[str, float]:
    """Of the rows predicted as label 1, the share that has it; for two labels."""
    _check_binary(references, "precision")
    hits, predicted, _ = _counts(predictions, references, 1)
    return {"precision": hits / predicted if predicted else 0.0}


@METRICS.register
def recall(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Of the rows with label 1, the share predicted as such; for two labels."""
    _check_binary(references, "recall")
    hits, _, true = _counts(predictions, references, 1)
    return {"recall": hits / true if true else 0.0}


@METRICS.register
def f1(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Harmonic mean of precision and recall of label 1; for two labels.

    >>> f1([1, 1, 0], [1, 0, 0])
    {'f1': 0.6666666666666666}
    """
    _check_binary(references, "f1")
    hits, predicted, true = _counts(predictions, references, 1)
    return {"f1": 2 * hits / (predicted + true) if predicted + true else 0.0}


def _confusion(predictions: Sequence[int], references: Sequence[int]) -> np.ndarray:
    """Counts `[true class, predicted class]` over the classes that occur."""
    both = np.concatenate([np.asarray(references), np.asarray(predictions)])
    classes, index = np.unique(both, return_inverse=True)
    true, predicted = np.split(index, 2)
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def _counts(
    predictions: Sequence[int], references: Sequence[int], label: int
) -> tuple[int, int, int]:
    """How often `label` is predicted rightly, is predicted, and is true."""
    predicted = np.asarray(predictions) == label
    true = np.asarray(references) == label
    return int((predicted & true).sum()), int(predicted.sum()), int(true.sum())


def _check_binary(references: Sequence[int], name: str) -> None:
    if max(references) > 1:
        raise UserError(
            f"The metric {name} is that of label 1 against label 0.",
            received=f"label {max(references)}",
            mend="--task.metrics macro_f1",
        )
