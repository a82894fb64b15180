"""Metrics of labels against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from kerastune_llm.errors import UserError
from kerastune_llm.metrics.classification import (
    accuracy,
    f1,
    matthews_correlation,
    precision,
    recall,
)

RNG = np.random.default_rng(0)
TWO = [(RNG.integers(0, 2, 50), RNG.integers(0, 2, 50)) for _ in range(5)]
MANY = [(RNG.integers(0, 5, 60), RNG.integers(0, 5, 60)) for _ in range(5)]
OUTSIDE = [(RNG.integers(-1, 2, 50), RNG.integers(0, 2, 50)) for _ in range(5)]


@pytest.mark.parametrize(("predictions", "references"), TWO + MANY + OUTSIDE)
def test_accuracy_and_matthews(predictions, references):
    assert accuracy(predictions, references)["accuracy"] == pytest.approx(
        sklearn.metrics.accuracy_score(references, predictions)
    )
    value = matthews_correlation(predictions, references)["matthews_correlation"]
    expected = sklearn.metrics.matthews_corrcoef(references, predictions)
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predictions", "references"),
    [([1, 1, 1], [0, 1, 0]), ([0, 1], [1, 1]), ([-1, -1], [0, 1])],
)
def test_matthews_with_one_class(predictions, references):
    value = matthews_correlation(predictions, references)["matthews_correlation"]
    assert value == sklearn.metrics.matthews_corrcoef(references, predictions) == 0.0


def test_matthews_signs():
    assert matthews_correlation([0, 1], [0, 1])["matthews_correlation"] == 1.0
    assert matthews_correlation([1, 0], [0, 1])["matthews_correlation"] == -1.0


@pytest.mark.parametrize(("predictions", "references"), TWO + OUTSIDE)
def test_binary_values(predictions, references):
    # `labels=[1]` is the binary average that also takes the label -1.
    options = {"labels": [1], "average": "macro", "zero_division": 0.0}
    pairs = {
        "precision": (precision, sklearn.metrics.precision_score),
        "recall": (recall, sklearn.metrics.recall_score),
        "f1": (f1, sklearn.metrics.f1_score),
    }
    for name, (ours, theirs) in pairs.items():
        expected = theirs(references, predictions, **options)
        assert ours(predictions, references)[name] == pytest.approx(expected)


@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_nothing_predicted_is_zero(metric):
    assert list(metric([0, 0], [0, 1]).values()) == [0.0]


def test_f1_refuses_more_than_two_labels():
    with pytest.raises(UserError, match="--task.metrics macro_f1"):
        f1([0, 2], [0, 2])
