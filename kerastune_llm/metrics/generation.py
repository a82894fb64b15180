"""Metrics of summaries and translations by the libraries that define them.

Predictions are texts; references are lists of accepted texts, an empty list standing
for one empty text. All values are 0 to 100.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerastune_llm.registry import METRICS

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@METRICS.register
def rouge(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Mean over rows of ROUGE-1, -2, -L and -Lsum F1, words stemmed.

    Of several references the best counts, for each of the four by itself. Lsum takes
    each line for a sentence; in a text of one line it equals L.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"; the
    package rouge-score.

    >>> rouge(["the cat sat"], [["a cat sat", "dogs bark"]])["rouge2"]
    50.0
    """
    scorer = _rouge_scorer()
    totals = dict.fromkeys(ROUGE_TYPES, 0.0)
    for prediction, accepted in zip(predictions, references, strict=True):
        scores = scorer.score_multi(list(accepted) or [""], prediction)
        for name in ROUGE_TYPES:
            totals[name] += float(scores[name].fmeasure)
    return {name: 100.0 * total / len(predictions) for name, total in totals.items()}


@METRICS.register
def bleu(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Corpus BLEU of 1- to 4-grams with the tokenizer 13a, as WMT reports it.

    Source: Papineni et al. 2002; Post 2018, arXiv:1804.08771; the package sacrebleu.
    """
    import sacrebleu

    # Said to be tokenised, or it logs a warning of texts that end in " .".
    result = sacrebleu.corpus_bleu(predictions, _streams(references), force=True)
    return {"bleu": float(result.score)}


@METRICS.register
def chrf(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Corpus chrF2: F-score of character 1- to 6-grams, recall counting double.

    Source: Popović 2015, W15-3049; the package sacrebleu.
    """
    import sacrebleu

    result = sacrebleu.corpus_chrf(predictions, _streams(references))
    return {"chrf": float(result.score)}


@functools.cache
def _rouge_scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE_TYPES), use_stemmer=True)


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """One list for the rows' first references, one for the second, and so on.

    >>> _streams([["a", "b"], ["c"], []])
    [['a', 'c', ''], ['b', None, None]]
    """
    rows = [list(accepted) or [""] for accepted in references]
    most = max(map(len, rows))
    return [
        [accepted[place] if place < len(accepted) else None for accepted in rows]
        for place in range(most)
    ]
