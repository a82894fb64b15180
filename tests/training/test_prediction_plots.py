"""Counts and means behind the plots of predictions, and that they are drawn."""

import numpy as np
import pytest
import sklearn.metrics

from kerastune_llm.training.prediction_plots import (
    confusion,
    length_groups,
    plot_confusion,
    plot_lengths,
)

RNG = np.random.default_rng(6)
LABELS = ["no", "perhaps", "yes"]


def records(predictions, truth):
    return [
        {"prediction": prediction, "references": [true], "input": "w " * n, "score": n}
        for n, (prediction, true) in enumerate(zip(predictions, truth, strict=True), 1)
    ]


def test_confusion_is_sklearn_s():
    truth, predictions = RNG.choice(LABELS, 50), RNG.choice(LABELS, 50)
    expected = sklearn.metrics.confusion_matrix(truth, predictions, labels=LABELS)
    assert (confusion(records(predictions, truth), LABELS) == expected).all()


def test_groups_have_equally_many_rows():
    lengths = RNG.permutation(100)
    means, scores = length_groups(lengths, 2.0 * lengths)
    assert means == pytest.approx([4.5 + 10 * n for n in range(10)])
    assert scores == pytest.approx([2 * mean for mean in means])


@pytest.mark.parametrize("predictions", [["no", "yes"], ["no", "<unknown>"]])
def test_plots_are_pictures(tmp_path, predictions):
    rows = records(predictions, ["no", "yes"])
    for path in (
        plot_confusion(rows, LABELS, tmp_path / "confusion.png"),
        plot_lengths(rows, tmp_path / "lengths.png"),
    ):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_too_many_labels_are_not_drawn(tmp_path):
    labels = [str(n) for n in range(41)]
    path = tmp_path / "confusion.png"
    assert plot_confusion(records(["1"], ["2"]), labels, path) is None
    assert not path.exists()
