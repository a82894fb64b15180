"""Each task of a mixture by its own metrics, and their mean in percent."""

import datasets
import pytest

from kerastune_llm.data.mixing import FEATURES
from kerastune_llm.metrics.scoring import score
from kerastune_llm.tasks.mixture import mix
from kerastune_llm.tasks.task import get_task
from kerastune_llm.training.mixture_scoring import score_mixture

# task, what the model wrote, accepted answers
ROWS = [
    ("squad", "the Nile", ["Nile", "a river"]),
    ("cola", "acceptable", ["acceptable"]),
    ("stsb", "3.2", ["3.33"]),
    ("squad", "blue", ["red"]),
    ("cola", "nothing", ["unacceptable"]),
    ("stsb", "none", ["1.5"]),
    ("tags", "sql, perl", ["sql, php"]),
    ("cola", "unacceptable", ["unacceptable"]),
]


def test_metrics_by_task_and_mean():
    task = mix([get_task(name) for name in ("squad", "cola", "stsb", "tags")])
    names, texts, references = zip(*ROWS, strict=True)
    columns = {"task": names, "references": references}
    blank = {name: [""] * len(ROWS) for name in ("id", "input", "target")}
    rows = datasets.Dataset.from_dict({**blank, **columns}, features=FEATURES)
    metrics, row_scores = score_mixture(task, texts, rows)
    cola = score(["matthews_correlation"], [1, -1, 0], [1, 0, 0])
    # The Nile is right, blue is not; 3.2 and -1.0 for 3.33 and 1.5 rise together;
    # one of two tags written is right, one of two true ones found.
    best = {
        "squad/f1": 50.0,
        "cola/matthews_correlation": cola["matthews_correlation"],
        "stsb/pearson": 1.0,
        "tags/multilabel_micro_f1": 0.5,
    }
    for name, value in best.items():
        assert metrics[name] == pytest.approx(value)
    percent = [
        value * (1 if name == "squad/f1" else 100) for name, value in best.items()
    ]
    assert metrics["mean"] == pytest.approx(sum(percent) / 4)
    expected = [100.0, 1.0, -0.13, 0.0, 0.0, -2.5, 0.5, 1.0]
    assert row_scores == pytest.approx(expected)
