"""ROUGE, BLEU and chrF against the packages that define them, and by hand."""

import random

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from kerastune_llm.metrics.generation import ROUGE_TYPES, bleu, chrf, rouge

WORDS = [
    "the",
    "a",
    "cat",
    "cats",
    "sat",
    "sitting",
    "on",
    "mat",
    "été",
    "naïve",
    "東京",
    "don't",
    "U.S.",
    "1,000",
    "—",
    "!?",
    "...\nrunning",
    "ran",
    "runs",
    "\n",
]


def text(rng, fewest=0):
    return " ".join(rng.choices(WORDS, k=rng.randint(fewest, 12)))


def rows(seed, most_references):
    rng = random.Random(seed)
    references = [
        [text(rng) for _ in range(rng.randint(1, most_references))] for _ in range(60)
    ]
    predictions = [
        rng.choice(accepted) if rng.random() < 0.3 else text(rng)
        for accepted in references
    ]
    return predictions, references


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most_references", [1, 3])
def test_rouge_is_the_mean_of_the_package_s_best(seed, most_references):
    predictions, references = rows(seed, most_references)
    scorer = RougeScorer(ROUGE_TYPES, use_stemmer=True)
    values = rouge(predictions, references)
    for name in ROUGE_TYPES:
        best = [
            max(scorer.score(text, prediction)[name].fmeasure for text in accepted)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        assert values[name] == pytest.approx(100 * sum(best) / len(best))


def test_rouge_by_hand():
    # Stemmed: cats and cat are one word. 3 of 3 and 3 of 4 words, 1 of 2 and 1 of 3
    # pairs; in lines, the longest common subsequences are found line by line.
    values = rouge(["a cats sat"], [["a cat there sat"]])
    assert values["rouge1"] == pytest.approx(100 * 2 * 1 * 0.75 / 1.75)
    assert values["rouge2"] == pytest.approx(100 * 2 * 0.5 * (1 / 3) / (0.5 + 1 / 3))
    assert values["rougeL"] == values["rouge1"] == values["rougeLsum"]
    lines = rouge(["b c\na d"], [["a d\nb c"]])
    assert lines["rougeL"] == 50.0 and lines["rougeLsum"] == 100.0


@pytest.mark.parametrize("prediction", ["", "!?", " "])
@pytest.mark.parametrize("accepted", [[], [""], ["..."]])
@pytest.mark.parametrize("metric", [rouge, bleu])
def test_nothing_against_nothing_is_zero(metric, prediction, accepted):
    assert metric([prediction], [accepted])[next(iter(metric(["a"], [["a"]])))] == 0.0


def streams(references):
    """Every row with as many references as the longest, `None` where it has fewer."""
    most = max(map(len, references))
    filled = [accepted + [None] * (most - len(accepted)) for accepted in references]
    return [list(stream) for stream in zip(*filled, strict=True)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most_references", [1, 3])
def test_bleu_and_chrf_are_sacrebleu_s(seed, most_references):
    predictions, references = rows(seed, most_references)
    several = streams(references)
    assert bleu(predictions, references)["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(predictions, several).score
    )
    assert chrf(predictions, references)["chrf"] == pytest.approx(
        sacrebleu.corpus_chrf(predictions, several).score
    )


def test_bleu_by_hand():
    # 1- to 4-grams: 4 of 5, 3 of 4, 2 of 3, 1 of 2; as long as the reference.
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert bleu(["a b c d x"], [["a b c d e"]])["bleu"] == pytest.approx(expected)


def test_a_row_without_reference_expects_the_empty_text():
    assert chrf(["", "abc"], [[], ["abc"]])["chrf"] == pytest.approx(100.0)
