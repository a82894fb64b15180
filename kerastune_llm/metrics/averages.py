"""Precision, recall and F1 averaged over labels, as scikit-learn averages them.

Nine metrics, `macro_precision` to `weighted_f1`; values are 0 to 1. Predictions and
references are label indices; a prediction of -1 (a text that names no label) is wrong
and no label of its own. A value without a denominator is 0.
"""

from collections.abc import Callable, Sequence

import numpy as np

from kerastune_llm.registry import METRICS

VALUES = ("precision", "recall", "f1")
AVERAGES = {
    "macro": "each label that occurs counting the same",
    "micro": "each row counting the same",
    "weighted": "each label counting as often as it is true",
}


def _averaged(average: str, value: str) -> Callable:
    def metric(
        predictions: Sequence[int], references: Sequence[int]
    ) -> dict[str, float]:
        from sklearn.metrics import precision_recall_fscore_support

        labels = np.setdiff1d(np.concatenate([predictions, references]), [-1])
        values = precision_recall_fscore_support(
            references, predictions, labels=labels, average=average, zero_division=0.0
        )
        return {name: float(values[VALUES.index(value)])}

    name = f"{average}_{value}"
    shown = value.replace("f1", "F1")
    metric.__doc__ = f"{shown.capitalize()} over labels, {AVERAGES[average]}."
    return METRICS.register(name)(metric)


for _average in AVERAGES:
    for _value in VALUES:
        _averaged(_average, _value)
