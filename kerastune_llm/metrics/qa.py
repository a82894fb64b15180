"""Metrics of question answering, as the official SQuAD scripts compute them.

Predictions are texts; references are the lists of accepted answers, an empty list
where the right answer is to give none. All values are percentages, 0 to 100.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from kerastune_llm.registry import METRICS

RowScore = Callable[[str, str], float]


@METRICS.register
def squad(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Exact match and token F1 of SQuAD v1.1, or v2.0 where rows have no answer.

    With at least one row without an answer it is the metric `squad_v2`.

    Source: evaluate-v1.1.py of the SQuAD web site.

    >>> squad(["the Nile", "in 1066"], [["Nile"], ["1066", "the year 1066"]])
    {'exact_match': 50.0, 'f1': 83.33333333333333}
    """
    if all(references):
        return _squad_values(predictions, references, _f1_v1)
    return squad_v2(predictions, references)


@METRICS.register
def squad_v2(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Exact match and token F1 of SQuAD v2.0; giving no answer may be right.

    Where both kinds of rows occur the same two values follow for the rows with and
    without an answer (`HasAns_*`, `NoAns_*`).

    Source: evaluate-v2.0.py of the SQuAD web site.

    >>> squad_v2(["", "Nile"], [[], ["the Nile"]])["NoAns_exact_match"]
    100.0
    """
    answers = [[a for a in accepted if normalise(a)] for accepted in references]
    values = _squad_values(predictions, answers, _f1_v2)
    if any(references) and not all(references):
        for kind, wanted in (("HasAns", True), ("NoAns", False)):
            rows = [i for i, texts in enumerate(references) if bool(texts) == wanted]
            part = _squad_values(
                [predictions[i] for i in rows], [answers[i] for i in rows], _f1_v2
            )
            values |= {f"{kind}_{name}": value for name, value in part.items()}
    return values


@METRICS.register
def exact_match(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Share of predictions equal to one of their references after normalisation.

    >>> exact_match(["The Nile."], [["nile"]])
    {'exact_match': 100.0}
    """
    return {"exact_match": _mean_best(_exact, predictions, references)}


@METRICS.register
def token_f1(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Mean over rows of the best F1 of shared tokens with one of the references.

    >>> token_f1(["blue Nile"], [["Nile"]])
    {'token_f1': 66.66666666666666}
    """
    return {"token_f1": _mean_best(_f1_v2, predictions, references)}


def normalise(text: str) -> str:
    """Lower case without punctuation, articles and extra white space.

    >>> normalise("The  U.S. Army")
    'us army'
    """
    kept = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


_PUNCTUATION = frozenset(string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)


def _squad_values(
    predictions: Sequence[str], references: Sequence[Sequence[str]], f1: RowScore
) -> dict[str, float]:
    return {
        "exact_match": _mean_best(_exact, predictions, references),
        "f1": _mean_best(f1, predictions, references),
    }


def _mean_best(
    row_score: RowScore,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
) -> float:
    """100 times the mean over rows of the best score among the references."""
    total = sum(
        max(row_score(prediction, answer) for answer in accepted or [""])
        for prediction, accepted in zip(predictions, references, strict=True)
    )
    return 100.0 * total / len(predictions)


def _exact(prediction: str, answer: str) -> float:
    return float(normalise(prediction) == normalise(answer))


def _f1_v1(prediction: str, answer: str) -> float:
    """F1 of the shared tokens; 0 when none is shared, also of two empty texts."""
    tokens, answer_tokens = normalise(prediction).split(), normalise(answer).split()
    shared = sum((Counter(tokens) & Counter(answer_tokens)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(tokens), shared / len(answer_tokens)
    return 2 * precision * recall / (precision + recall)


def _f1_v2(prediction: str, answer: str) -> float:
    """As in v1.1, but 1 when both texts are empty: giving no answer was right."""
    if not normalise(prediction) and not normalise(answer):
        return 1.0
    return _f1_v1(prediction, answer)
