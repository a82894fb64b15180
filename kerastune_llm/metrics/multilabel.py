"""Metrics of label sets, equal to scikit-learn's; values are 0 to 1.

Predictions and references are lists of label indices, in any order, possibly empty. A
-1 among the predictions stands for generated text that names no label.
"""

from collections import Counter
from collections.abc import Sequence

from kerastune_llm.registry import METRICS

OUTSIDE = -1


@METRICS.register
def multilabel_micro_f1(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> dict[str, float]:
    """F1 over all pairs of row and label; a -1 is a label wrongly predicted.

    >>> multilabel_micro_f1([[0], [0, 2]], [[0, 1], [2]])
    {'multilabel_micro_f1': 0.6666666666666666}
    """
    counts = _counts(predictions, references)
    value = _f1(*(counter.total() for counter in counts))
    return {"multilabel_micro_f1": value}


@METRICS.register
def multilabel_macro_f1(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Mean of the labels' F1, each label that occurs counting the same."""
    hits, predicted, true = _counts(predictions, references)
    values = [
        _f1(hits[label], predicted[label], true[label])
        for label in {*predicted, *true} - {OUTSIDE}
    ]
    return {"multilabel_macro_f1": sum(values) / len(values) if values else 0.0}


@METRICS.register
def set_exact_match(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Share of rows whose predicted labels are all of the true ones and no other.

    >>> set_exact_match([[2, 0], [1]], [[0, 2], []])
    {'set_exact_match': 0.5}
    """
    pairs = zip(predictions, references, strict=True)
    right = [set(predicted) == set(true) for predicted, true in pairs]
    return {"set_exact_match": sum(right) / len(right)}


def _counts(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> tuple[Counter, Counter, Counter]:
    """In how many rows each label is predicted rightly, is predicted, and is true."""
    hits, predicted, true = Counter(), Counter(), Counter()
    for found, accepted in zip(predictions, references, strict=True):
        hits.update(set(found) & set(accepted))
        predicted.update(set(found))
        true.update(set(accepted))
    return hits, predicted, true


def _f1(hits: int, predicted: int, true: int) -> float:
    return 2 * hits / (predicted + true) if predicted + true else 0.0
