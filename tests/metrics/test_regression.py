"""Pearson and Spearman against scipy, the formula, and numpy."""

import numpy as np
import pytest
import scipy.stats

from kerastune_llm.metrics.regression import pearson, spearman

RNG = np.random.default_rng(2)
CASES = [
    (RNG.normal(size=30), RNG.normal(size=30)),
    (RNG.integers(0, 5, 40) / 2, RNG.integers(0, 5, 40) / 2),  # equal values
    (np.array([1.0, 2.0]), np.array([5.0, -5.0])),
]


@pytest.mark.parametrize(("predictions", "references"), CASES)
def test_equal_to_the_references(predictions, references):
    found = pearson(predictions.tolist(), references.tolist())["pearson"]
    assert found == pytest.approx(np.corrcoef(predictions, references)[0, 1])
    ranks = scipy.stats.rankdata(predictions), scipy.stats.rankdata(references)
    found = spearman(predictions.tolist(), references.tolist())["spearman"]
    assert found == pytest.approx(np.corrcoef(*ranks)[0, 1])
    expected = scipy.stats.spearmanr(predictions, references).statistic
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize(
    ("predictions", "references"),
    [([2.0, 2.0], [1.0, 3.0]), ([1.0, 3.0], [2.0, 2.0]), ([1.0], [1.0])],
)
def test_a_constant_side_is_zero(metric, predictions, references):
    assert list(metric(predictions, references).values()) == [0.0]
