"""Rows of the Hugging Face hub, and what is said where it is out of reach."""

import json
import logging
from dataclasses import replace

import datasets
import huggingface_hub
import pytest

from kerastune_llm.data.sources import load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import get_task


def test_hub_out_of_reach(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = (
        "nyu-mll/glue/cola cannot be had(.|\n)*--data.train FILE or --data.source s"
    )
    with pytest.raises(UserError, match=message):
        load_rows(get_task("cola"), "train", source="hub")


def test_attempts_at_a_hub_that_is_away_are_said_once(monkeypatch, caplog):
    client = logging.getLogger("huggingface_hub.utils._http")
    level = client.level

    def away(*args, **kwargs):
        client.warning("MaxRetryError thrown. Retrying in 1s [Retry 1/5].")
        raise ConnectionError("no such host")

    monkeypatch.setattr(datasets, "load_dataset", away)
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError, match="cannot be had.*no such host"):
        load_rows(get_task("cola"), "train", source="hub")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["train: asking the Hugging Face hub for nyu-mll/glue/cola"]
    assert client.level == level


def test_rows_of_a_dataset_folder(tmp_path, monkeypatch):
    """A dataset folder is loaded by the very call that loads from the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "data"
    folder.mkdir()
    answers = {"text": ["Nile", "Nile"], "answer_start": [0, 9]}
    row = {"id": "a", "question": "q", "context": "c", "answers": answers}
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text(json.dumps(row), encoding="utf-8")
    task = replace(get_task("squad"), hub=str(folder))
    rows = load_rows(task, "validation", source="hub")
    assert rows[0]["references"] == ["Nile"]
