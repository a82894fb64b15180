"""Several metrics at once, one row alone, and the interface of `evaluate`."""

import evaluate
import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.metrics.module import load_metric
from kerastune_llm.metrics.scoring import row_score, score
from kerastune_llm.registry import METRICS
from kerastune_llm.tasks.metric_kinds import scored_kind

# References, predictions that are all right, and such that are all wrong.
EXAMPLES = {
    "seq2seq": (
        [["the river Nile in Egypt", "Nile"], ["back in the year 1066"]],
        ["the river Nile in Egypt", "back in the year 1066"],
        ["zq", "wz"],
    ),
    "classification": ([0, 1, 1], [0, 1, 1], [1, 0, 0]),
    "regression": ([0.0, 1.0, 3.0], [0.0, 1.0, 3.0], [3.0, 1.0, 0.0]),
    "multilabel": ([[0, 2], [1]], [[2, 0], [1]], [[1], [0, 2]]),
}


@pytest.mark.parametrize("name", METRICS.names())
def test_contract(name):
    """A perfect prediction, floats by name, one row, and the same through evaluate."""
    kind = scored_kind(name)
    references, right, wrong = EXAMPLES[kind]
    best, worst = score([name], right, references), score([name], wrong, references)
    assert all(type(value) is float for value in best.values())
    scale = 100.0 if kind == "seq2seq" else 1.0
    assert list(best.values()) == pytest.approx([scale] * len(best))
    assert all(worst[key] < best[key] for key in best)
    good = row_score([name], right[0], references[0])
    assert good == (0.0 if kind == "regression" else pytest.approx(scale))
    assert row_score([name], wrong[0], references[0]) < good

    metric = load_metric(name)
    assert isinstance(metric, evaluate.Metric)
    assert metric.compute(predictions=wrong, references=references) == worst
    for prediction, reference in zip(right, references, strict=True):
        metric.add_batch(predictions=[prediction], references=[reference])
    assert metric.compute() == best
    metric.add(prediction=right[0], reference=references[0])
    assert len(metric) == 1


def test_load_metric_writes_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "cache"))
    load_metric("squad").compute(predictions=["a"], references=[["b", "c"]])
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_named_in_evaluate():
    assert load_metric("squad").name == "squad"
    both = evaluate.combine([load_metric("accuracy"), load_metric("f1")])
    assert both.compute(predictions=[1, 0], references=[1, 1]) == {
        "accuracy": 0.5,
        "f1": pytest.approx(2 / 3),
    }


def test_unknown_metric_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean accuracy"):
        load_metric("acuracy")


def test_score_merges_flat():
    values = score(["matthews_correlation", "accuracy"], [1, 0], [1, 0])
    assert values == {"matthews_correlation": 1.0, "accuracy": 1.0}


@pytest.mark.parametrize(("predictions", "references"), [([], []), ([1], [1, 0])])
def test_score_refuses_unequal_and_empty(predictions, references):
    with pytest.raises(ValueError, match="equally many"):
        score(["accuracy"], predictions, references)


def test_score_refuses_two_metrics_with_one_name():
    with pytest.raises(ValueError, match="Two metrics give exact_match"):
        score(["squad", "exact_match"], ["a"], [["a"]])


def test_row_score_of_labels_is_right_or_wrong():
    assert row_score(["matthews_correlation"], 1, 1) == 1.0
    assert row_score(["matthews_correlation"], -1, 1) == 0.0
