"""Bootstrap intervals against scipy's, and of metrics that are no mean over rows."""

import numpy as np
import pytest
import scipy.stats

from kerastune_llm.metrics.bootstrap import score_with_intervals

RNG = np.random.default_rng(5)
TRUE = RNG.integers(0, 2, 200).tolist()
PREDICTED = [label if RNG.random() < 0.8 else 1 - label for label in TRUE]


def test_accuracy_s_interval_is_scipy_s():
    values = score_with_intervals(["accuracy"], PREDICTED, TRUE)
    right = np.equal(PREDICTED, TRUE).astype(float)
    expected = scipy.stats.bootstrap(
        (right,), np.mean, n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    assert values["accuracy_low"] == pytest.approx(expected.low, abs=0.015)
    assert values["accuracy_high"] == pytest.approx(expected.high, abs=0.015)


def test_a_correlation_s_interval_is_scipy_s():
    # No mean over rows: it is computed anew on every sample.
    values = score_with_intervals(["matthews_correlation"], PREDICTED, TRUE)

    def phi(predicted, true):
        return np.corrcoef(predicted, true)[0, 1]

    expected = scipy.stats.bootstrap(
        (PREDICTED, TRUE),
        phi,
        n_resamples=2000,
        method="percentile",
        paired=True,
        vectorized=False,
        rng=1,
    ).confidence_interval
    low, high = (values[f"matthews_correlation_{end}"] for end in ("low", "high"))
    assert low == pytest.approx(expected.low, abs=0.03)
    assert high == pytest.approx(expected.high, abs=0.03)
    assert low < values["matthews_correlation"] < high


def test_texts_and_repeatability():
    predictions = ["the Nile", "blue", "a b", "x"] * 10
    references = [["Nile"], ["red"], ["a b", "c"], []] * 10
    values = score_with_intervals(["squad"], predictions, references)
    assert values["f1_low"] < values["f1"] == 50.0 < values["f1_high"]
    # Every row without an answer is wrong, in any sample.
    assert values["NoAns_f1_low"] == values["NoAns_f1_high"] == 0.0
    assert values == score_with_intervals(["squad"], predictions, references)


def test_one_row_alone_has_no_width():
    values = score_with_intervals(["token_f1"], ["blue Nile"], [["Nile"]])
    assert values["token_f1_low"] == values["token_f1"] == values["token_f1_high"]
