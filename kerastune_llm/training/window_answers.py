"""One answer out of those to the windows of a long context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BestAnswers:
    """The answers that were chosen, and their scores, one a row."""

    texts: list[str]
    scores: np.ndarray


def best_answers(
    texts: Sequence[str], scores: Sequence[float], counts: Sequence[int]
) -> BestAnswers:
    """The answer of each row that the model is surest of.

    That there is no answer is true of a row where it is of all its windows: an empty
    text is chosen only where there is no other.

    Args:
        texts: The answer to each window, those of a row one after another.
        scores: How sure the model is of each.
        counts: Windows of each row, one at least.

    Example:
    >>> best = best_answers(["", "Oslo", "Nile", ""], [0.9, 0.2, 0.4, 0.8], [3, 1])
    >>> best.texts, best.scores.tolist()
    (['Nile', ''], [0.4, 0.8])
    """
    chosen = []
    start = 0
    for count in counts:
        windows = range(start, start + count)
        chosen.append(max(windows, key=lambda n: (bool(texts[n]), scores[n])))
        start += count
    return BestAnswers(
        [texts[n] for n in chosen], np.array([scores[n] for n in chosen])
    )
