"""Metrics of label sets against scikit-learn on indicator matrices, and by hand."""

import numpy as np
import pytest
import sklearn.metrics

from kerastune_llm.metrics.multilabel import (
    multilabel_macro_f1,
    multilabel_micro_f1,
    set_exact_match,
)

RNG = np.random.default_rng(3)


def sets(matrix):
    return [np.flatnonzero(row).tolist() for row in matrix]


@pytest.mark.parametrize("density", [0.1, 0.5, 0.0])
def test_equal_to_sklearn(density):
    true = RNG.random((40, 6)) < 0.3
    true[:, :] |= np.eye(40, 6, dtype=bool)  # every label occurs
    predicted = RNG.random((40, 6)) < density
    pairs = {
        "micro": multilabel_micro_f1(sets(predicted), sets(true)),
        "macro": multilabel_macro_f1(sets(predicted), sets(true)),
    }
    for average, found in pairs.items():
        expected = sklearn.metrics.f1_score(
            true, predicted, average=average, zero_division=0.0
        )
        assert found == {f"multilabel_{average}_f1": pytest.approx(expected)}
    exact = set_exact_match(sets(predicted), sets(true))["set_exact_match"]
    assert exact == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))


def test_text_that_names_no_label_costs_precision():
    # 1 of 2 predicted is right, 1 of 1 true is found; -1 is no label of its own.
    assert multilabel_micro_f1([[0, -1]], [[0]])["multilabel_micro_f1"] == (
        pytest.approx(2 / 3)
    )
    assert multilabel_macro_f1([[0, -1]], [[0]]) == {"multilabel_macro_f1": 1.0}


def test_order_and_doubles_do_not_matter():
    assert set_exact_match([[1, 0, 1]], [[0, 1]]) == {"set_exact_match": 1.0}
    assert multilabel_micro_f1([[1, 1]], [[1]]) == {"multilabel_micro_f1": 1.0}


@pytest.mark.parametrize("metric", [multilabel_micro_f1, multilabel_macro_f1])
def test_no_label_anywhere_is_zero(metric):
    assert list(metric([[], []], [[], []]).values()) == [0.0]


def test_an_empty_set_can_be_right():
    assert set_exact_match([[], [1]], [[], []]) == {"set_exact_match": 0.5}
