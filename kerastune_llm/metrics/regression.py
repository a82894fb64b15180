"""Metrics of numbers, as scipy computes them; values are -1 to 1."""

from collections.abc import Sequence

import numpy as np

from kerastune_llm.registry import METRICS


@METRICS.register
def pearson(
    predictions: Sequence[float], references: Sequence[float]
) -> dict[str, float]:
    """Linear correlation: covariance over the product of the standard deviations.

    0 where one side is constant, or there is one row only: nothing is correlated.

    >>> round(pearson([1.0, 2.0, 4.0], [0.0, 1.0, 2.0])["pearson"], 6)
    0.981981
    """
    from scipy.stats import pearsonr

    if _is_constant(predictions) or _is_constant(references):
        return {"pearson": 0.0}
    return {"pearson": float(pearsonr(predictions, references).statistic)}


@METRICS.register
def spearman(
    predictions: Sequence[float], references: Sequence[float]
) -> dict[str, float]:
    """Pearson correlation of the ranks, equal values sharing their mean rank.

    >>> spearman([1.0, 2.0, 40.0], [0.0, 1.0, 2.0])
    {'spearman': 1.0}
    """
    from scipy.stats import spearmanr

    if _is_constant(predictions) or _is_constant(references):
        return {"spearman": 0.0}
    return {"spearman": float(spearmanr(predictions, references).statistic)}


def _is_constant(values: Sequence[float]) -> bool:
    return bool(np.ptp(values) == 0)
