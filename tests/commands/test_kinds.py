"""Runs of the other kinds of tasks: numbers, label sets, pairs; by a head and as text.

Train, evaluate, predict, with a tiny encoder or the bundled starter.
"""

import json
from pathlib import Path

import pytest

import kerastune_llm
from kerastune_llm.models.checkpoint import save_model
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """A folder with a tiny BERT and a tokenizer of a few words."""
    folder = tmp_path_factory.mktemp("encoder")
    save_model(tiny("bert"), fast_tokenizer(), folder)
    return folder


def run(task, model, output, **data):
    rows = {"max_train_samples": 48, "max_validation_samples": 12, **data}
    return kerastune_llm.train(
        {
            "task": task,
            "model": str(model),
            "data": {"source": "sample", "max_input_tokens": 60, **rows},
            "optim": {"max_steps": 3, "batch_size": 8},
            "output": output,
        }
    )


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def predictions(output):
    return read_lines(output / "predictions/validation.jsonl")


def test_numbers_by_a_head(encoder, tmp_path):
    output = tmp_path / "run"
    result = run("stsb", encoder, output)
    assert set(result.metrics) == {"pearson", "spearman", "loss"}
    config = json.loads((output / "model/config.json").read_text())
    assert config["problem_type"] == "regression" and len(config["id2label"]) == 1
    assert kerastune_llm.evaluate(output) == result.metrics
    for row in predictions(output):
        distance = abs(float(row["prediction"]) - float(row["references"][0]))
        assert row["score"] == pytest.approx(-distance, abs=2e-3)
        assert row["input"].count("\n") == 1


def test_label_sets_by_a_head(encoder, tmp_path):
    output = tmp_path / "run"
    result = run("tags", encoder, output)
    config = json.loads((output / "model/config.json").read_text())
    labels = ["captain", "founding", "home", "journey", "river", "teacher"]
    assert config["problem_type"] == "multi_label_classification"
    assert list(config["id2label"].values()) == labels
    assert kerastune_llm.evaluate(output) == result.metrics

    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"title": "Who lives in Oslo?"}\n')
    answers = kerastune_llm.predict(output, rows, tmp_path / "answers.jsonl")
    [answer] = read_lines(answers)
    assert list(answer["scores"]) == labels
    likely = [name for name, value in answer["scores"].items() if value > 0.5]
    assert answer["prediction"] == ", ".join(likely)


def test_a_pair_by_a_head(encoder, tmp_path):
    output = tmp_path / "run"
    result = run("mrpc", encoder, output)
    assert set(result.metrics) == {"f1", "accuracy", "loss"}
    assert kerastune_llm.evaluate(output) == result.metrics


@pytest.mark.parametrize("task", [pytest.param("stsb", marks=pytest.mark.long), "tags"])
def test_as_text(task, tmp_path):
    output = tmp_path / "run"
    result = run(task, "starter", output)
    assert kerastune_llm.evaluate(output) == result.metrics
    row = predictions(output)[0]
    assert row["input"].startswith(f"{task}") and isinstance(row["prediction"], str)


def test_a_number_task_of_one_s_own(encoder, tmp_path):
    rows = tmp_path / "rows.csv"
    lines = [f"short {n},long {n},{n / 2}" for n in range(30)]
    rows.write_text("\n".join(["first,second,likeness", *lines]))
    task = {
        "name": "custom",
        "kind": "regression",
        "input_template": "{first}",
        "pair_template": "{second}",
        "label_column": "likeness",
    }
    output = tmp_path / "run"
    result = run(task, encoder, output, source="files", train=rows)
    assert set(result.metrics) == {"pearson", "spearman", "loss"}
    assert kerastune_llm.evaluate(output) == result.metrics
