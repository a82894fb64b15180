"""Canonical rows written and read again are the same rows."""

import json
from dataclasses import replace

import pytest

from kerastune_llm.commands.row_file import write_rows
from kerastune_llm.data.raw_rows import raw_rows, reading_flags
from kerastune_llm.data.sources import load_rows
from kerastune_llm.errors import UserError
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.custom import configure_task, custom
from kerastune_llm.tasks.task import get_task

WITH_SAMPLE = [name for name in TASKS.names() if get_task(name).sample]


@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_every_tasks_rows_survive(name, tmp_path):
    task = get_task(name)
    rows = load_rows(task, "train", max_rows=8)
    if task.lacks_labels:
        labels = sorted({label for row in rows["label"] for label in row})
        task = replace(task, labels=tuple(labels))
        rows = load_rows(task, "train", max_rows=8)
    write_rows(tmp_path / "rows.jsonl", task, rows)
    again = load_rows(task, "train", source="files", path=tmp_path / "rows.jsonl")
    assert again[:] == rows[:]


def task_of(**options):
    return configure_task(custom(), input_template="{text}", **options)


def written(task, path, row):
    source = path / "rows.jsonl"
    source.write_text(json.dumps(row) + "\n")
    rows = load_rows(task, "train", source="files", path=source)
    return list(raw_rows(task, rows, flat=False)), rows


def test_columns_have_the_names_of_the_source(tmp_path):
    columns = {"text": "t", "answer": "a"}
    task = task_of(target_template="{answer}", columns=columns)
    raw, _ = written(task, tmp_path, {"id": "7", "t": "Why?", "a": "So."})
    assert raw == [{"id": "7", "t": "Why?", "a": "So."}]


def test_a_target_of_several_columns_is_read_with_flags(tmp_path):
    task = task_of(target_template="{a}, {b}")
    raw, rows = written(task, tmp_path, {"id": "7", "text": "x", "a": "A", "b": "B"})
    assert raw[0]["target"] == "A, B"
    flags = dict(zip(*[iter(reading_flags(task))] * 2, strict=True))
    again = task_of(
        target_template=flags["--task.target-template"],
        references_column=flags["--task.references-column"],
    )
    file = tmp_path / "again.jsonl"
    write_rows(file, task, rows)
    assert load_rows(again, "train", source="files", path=file)[:] == rows[:]


def test_several_references_are_not_for_csv(tmp_path):
    task = task_of(references_column="r")
    _, rows = written(task, tmp_path, {"text": "x", "r": ["A", "B"]})
    with pytest.raises(UserError, match="'r' cannot be written as csv"):
        write_rows(tmp_path / "rows.csv", task, rows)
    assert not (tmp_path / "rows.csv").exists()
