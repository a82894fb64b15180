"""Rows to the texts a model is given: one road for training, prediction and export."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from kerastune_llm.tasks.task import Task, render_template


def render_inputs(
    task: Task,
    rows: datasets.Dataset | Mapping[str, Sequence[Any]],
    *,
    as_text: bool,
) -> list[str]:
    """The input text of every row.

    Args:
        task: The task, whose template is rendered.
        rows: Canonical rows as `load_rows` gives them, or a mapping of columns.
        as_text: Whether the answer is generated as text; otherwise a head on an encoder
            gives it.

    Example:
    >>> from kerastune_llm.tasks.task import get_task
    >>> render_inputs(get_task("cola"), {"sentence": ["Dogs bark."]}, as_text=True)
    ['cola sentence: Dogs bark.']
    """
    template = task.template(as_text=as_text)
    names = task.fields(as_text=as_text)
    columns = zip(*(rows[name][:] for name in names), strict=True)
    return [
        render_template(template, dict(zip(names, values, strict=True)))
        for values in columns
    ]


def render_targets(
    task: Task, rows: datasets.Dataset | Mapping[str, Sequence[Any]]
) -> list[str]:
    """The text to be generated for every row: the target, or the label's name."""
    if task.has_labels:
        return [task.labels[label] for label in rows["label"][:]]
    return list(rows["target"][:])
