"""Averaged precision, recall and F1 against scikit-learn and by hand."""

import numpy as np
import pytest
import sklearn.metrics

from kerastune_llm.registry import METRICS

RNG = np.random.default_rng(1)
CASES = [
    *[(RNG.integers(0, 5, 60), RNG.integers(0, 5, 60)) for _ in range(3)],
    *[(RNG.integers(-1, 3, 50), RNG.integers(0, 3, 50)) for _ in range(3)],
    (np.array([-1, -1]), np.array([0, 2])),
    (np.array([1]), np.array([1])),
]
SCORES = {
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
    "f1": sklearn.metrics.f1_score,
}


@pytest.mark.parametrize(("predictions", "references"), CASES)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("value", SCORES)
def test_equal_to_sklearn(average, value, predictions, references):
    labels = sorted({*predictions.tolist(), *references.tolist()} - {-1})
    expected = SCORES[value](
        references, predictions, labels=labels, average=average, zero_division=0.0
    )
    name = f"{average}_{value}"
    found = METRICS.get(name)(predictions.tolist(), references.tolist())
    assert found == {name: pytest.approx(expected)}


def test_by_hand():
    # Label 0: 2 predicted, 1 of 1 true found. Label 1: 1 predicted, 1 of 2 found.
    predictions, references = [0, 0, 1], [0, 1, 1]

    def value(name):
        return METRICS.get(name)(predictions, references)[name]

    assert value("macro_precision") == pytest.approx((1 / 2 + 1) / 2)
    assert value("macro_recall") == pytest.approx((1 + 1 / 2) / 2)
    assert value("macro_f1") == value("weighted_f1") == pytest.approx(2 / 3)
    assert value("micro_f1") == pytest.approx(2 / 3)
    assert value("weighted_precision") == pytest.approx((1 / 2 + 2) / 3)
