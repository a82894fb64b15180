"""SQuAD's metrics against the v2.0 script as transformers ships it, and against v1.1.

`transformers.data.metrics.squad_metrics` holds the functions of evaluate-v2.0.py. The
v1.1 script has the same normalisation and the same F1, except that two texts without a
shared token score 0 even when both are empty after normalisation.
"""

import random
from types import SimpleNamespace

import pytest
from transformers.data.metrics import squad_metrics as official

from kerastune_llm.metrics.qa import exact_match, normalise, squad, squad_v2, token_f1

WORDS = [
    *("the", "a", "an", "An", "The", "U.S.", "Nile", "nile", "river", "1066", "été"),
    *(
        "ÉTÉ",
        "don't",
        "dont",
        "—",
        "...",
        "!?",
        "“Nile”",
        "naïve",
        "  ",
        "\u00a0",
        "東京",
    ),
    *("theory", "a.", "the-Nile", "", "1,000", "$5"),
]


def texts(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(0, 5)))


def rows(count: int, *, fewest: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Random predictions, half of them one of their row's references."""
    rng = random.Random(seed)
    references = [
        [texts(rng) for _ in range(rng.randint(fewest, 4))] for _ in range(count)
    ]
    predictions = [
        rng.choice(accepted) if accepted and rng.random() < 0.5 else texts(rng)
        for accepted in references
    ]
    return predictions, references


def official_v1(predictions, references):
    def f1(gold, prediction):
        if official.get_tokens(gold) and official.get_tokens(prediction):
            return official.compute_f1(gold, prediction)
        return 0.0

    pairs = list(zip(predictions, references, strict=True))
    exact = [max(official.compute_exact(g, p) for g in golds) for p, golds in pairs]
    best = [max(f1(g, p) for g in golds) for p, golds in pairs]
    count = len(pairs)
    return {"exact_match": 100 * sum(exact) / count, "f1": 100 * sum(best) / count}


def official_v2(predictions, references):
    examples = [
        SimpleNamespace(qas_id=str(n), answers=[{"text": text} for text in golds])
        for n, golds in enumerate(references)
    ]
    answers = {str(n): text for n, text in enumerate(predictions)}
    exact, f1 = official.get_raw_scores(examples, answers)
    values = official.make_eval_dict(exact, f1)
    result = {"exact_match": values["exact"], "f1": values["f1"]}
    for kind, wanted in (("HasAns", True), ("NoAns", False)):
        ids = [e.qas_id for e in examples if bool(e.answers) == wanted]
        part = official.make_eval_dict(exact, f1, qid_list=ids)
        result |= {
            f"{kind}_exact_match": part["exact"],
            f"{kind}_f1": part["f1"],
        }
    return result


@pytest.mark.parametrize("seed", range(5))
def test_squad_v1_equals_the_official_script(seed):
    predictions, references = rows(400, fewest=1, seed=seed)
    expected = official_v1(predictions, references)
    assert squad(predictions, references) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_squad_v2_equals_the_official_script(seed):
    predictions, references = rows(400, fewest=0, seed=seed)
    expected = official_v2(predictions, references)
    assert squad(predictions, references) == pytest.approx(expected, abs=1e-9)
    assert squad_v2(predictions, references) == squad(predictions, references)


def test_squad_v2_keeps_its_rules_where_every_row_has_an_answer():
    # v2.0: both texts empty after normalisation is right.
    assert squad_v2(["."], [["the"]]) == {"exact_match": 100.0, "f1": 100.0}


@pytest.mark.parametrize("text", [*WORDS, "The  U.S. Army's a-to-z", "an\tan\nan"])
def test_normalise_equals_the_official_script(text):
    assert normalise(text) == official.normalize_answer(text)


def test_empty_texts_differ_between_the_versions():
    # v1.1: no shared token is 0; v2.0: both empty is right.
    assert squad(["."], [["the"]]) == {"exact_match": 100.0, "f1": 0.0}
    assert token_f1(["."], [["the"]]) == {"token_f1": 100.0}


def test_no_answer_rows():
    values = squad(["", "Nile"], [[], []])
    assert values["exact_match"] == values["f1"] == 50.0
    assert "HasAns_f1" not in values


def test_both_kinds_of_rows_are_told_apart():
    values = squad(["", "Nile", "Nile"], [[], [], ["the Nile"]])
    assert values["NoAns_f1"] == 50.0
    assert values["HasAns_f1"] == 100.0


def test_best_reference_counts():
    assert exact_match(["Nile"], [["Amazon", "The Nile!"]]) == {"exact_match": 100.0}
    # 1 of 2 predicted tokens is right, 1 of 1 true token found.
    assert token_f1(["blue Nile"], [["Amazon", "Nile"]])["token_f1"] == pytest.approx(
        100 * 2 / 3
    )
