"""The model card and the plots."""

import json
from pathlib import Path

import yaml

from kerastune_llm.training.reports import USE_MODEL, model_card, plot_history

FACTS = {
    "base_model": "google/flan-t5-small",
    "task": "squad",
    "reference": "",
    "method": "head",
    "trainable": 16_449_536,
    "total": 76_961_152,
    "percent": 21.37,
    "training_rows": 87_599,
    "steps": 32_850,
    "settings": json.dumps({"task": "squad"}),
    "run": Path("runs/one"),
    "use": USE_MODEL,
}


def test_card_has_readable_front_matter_and_the_metrics():
    card = model_card(FACTS, {"exact_match": 75.12345, "f1": 84.0})
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["base_model"] == "google/flan-t5-small"
    assert yaml.safe_load(front)["metrics"] == ["exact_match", "f1"]
    assert "| exact_match | 75.1235 |" in body
    assert "16,449,536 of 76,961,152 (21.37 %)" in body


def test_card_without_validation_says_so():
    assert "No validation rows were given." in model_card(FACTS, {})


def test_plots_are_pictures(tmp_path):
    history = [{"step": n, "loss": 1 / n} for n in range(1, 9)]
    history.append({"step": 8, "evaluation": {"f1": 50.0, "loss": 0.5}})
    paths = plot_history(history, tmp_path)
    assert [path.name for path in paths] == ["loss.png", "metrics.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_without_evaluations_there_is_one_plot(tmp_path):
    paths = plot_history([{"step": 1, "loss": 1.0}], tmp_path)
    assert [path.name for path in paths] == ["loss.png"]
