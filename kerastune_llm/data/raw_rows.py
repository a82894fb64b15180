"""Canonical rows back to the form that files have, so that they can be read again."""

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np

from kerastune_llm.data.answers import SEPARATOR
from kerastune_llm.data.rows import GROUP, input_fields
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Row, Task, template_fields

TARGET, REFERENCES = "target", "references"


def raw_rows(task: Task, rows: datasets.Dataset, *, flat: bool) -> Iterator[Row]:
    """Rows with the columns that the task reads, under their names in the source.

    Args:
        task: The task, its labels known.
        rows: Canonical rows.
        flat: No lists, as csv has none: one reference as itself, labels with commas.

    Raises:
        UserError: A list cannot be written flat.
    """
    for row in rows:
        raw = {task.id_column: row["id"]}
        raw |= {name: row[name] for name in input_fields(task)}
        if task.group_column and row.get(GROUP):
            raw[task.group_column] = row[GROUP]
        raw |= _answer(task, row)
        if flat:
            raw = {name: _flat(task, name, value) for name, value in raw.items()}
        yield {task.columns.get(name, name): value for name, value in raw.items()}


def reading_flags(task: Task) -> list[str]:
    """Flags that a task needs to read what was written, besides its own.

    A target template of more than a column cannot be taken apart into its columns.
    """
    if task.has_labels or not task.target_template or _target_column(task):
        return []
    flags = ["--task.target-template", "{target}"]
    return [*flags, "--task.references-column", REFERENCES]


def _answer(task: Task, row: Row) -> dict[str, Any]:
    if task.has_labels:
        return {task.label_column: _label(task, row["label"])}
    if reading_flags(task):
        return {TARGET: row["target"], REFERENCES: row["references"]}
    answer = {}
    if task.target_template:
        answer[_target_column(task)] = row["target"]
    if task.references_column:
        answer[task.references_column] = row["references"]
    return answer


def _target_column(task: Task) -> str:
    """The column that is the target as it stands; an empty string where none is."""
    names = template_fields(task.target_template)
    is_plain = [f"{{{name}}}" for name in names] == [task.target_template]
    return names[0] if is_plain else ""


def _label(task: Task, label: Any) -> str | float | list[str]:
    if task.kind == "regression":
        # The shortest number that float32 holds as this one.
        return float(str(np.float32(label)))
    if task.kind == "multilabel":
        return [task.labels[index] for index in label]
    return task.labels[label]


def _flat(task: Task, name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if task.has_labels and not any("," in label for label in value):
        return SEPARATOR.join(value)
    if not task.has_labels and len(value) == 1:
        return value[0]
    raise UserError(
        f"The values of the column {name!r} cannot be written as csv, which has no "
        "lists.",
        received=repr(value)[:80],
        mend="--output FILE.jsonl, or FILE.parquet",
    )
