"""Rows to the texts a model is given: one road for training, prediction and export."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from kerastune_llm.data.answers import answer_text
from kerastune_llm.tasks.task import Task, render_template, template_fields


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
    return _rendered(task.template(as_text=as_text), rows)


def render_pairs(
    task: Task, rows: datasets.Dataset | Mapping[str, Sequence[Any]], *, as_text: bool
) -> list[str] | None:
    """The second text of every row, where a head on an encoder is given two."""
    if as_text or not task.pair_template:
        return None
    return _rendered(task.pair_template, rows)


def show_inputs(
    task: Task, rows: datasets.Dataset | Mapping[str, Sequence[Any]], *, as_text: bool
) -> list[str]:
    """Inputs as people read them: the two texts of a pair on lines of their own."""
    texts = render_inputs(task, rows, as_text=as_text)
    pairs = render_pairs(task, rows, as_text=as_text)
    if pairs is None:
        return texts
    return [f"{text}\n{pair}" for text, pair in zip(texts, pairs, strict=True)]


def render_targets(
    task: Task, rows: datasets.Dataset | Mapping[str, Sequence[Any]]
) -> list[str]:
    """The text to be generated for every row: the target, or the label as text."""
    if task.has_labels:
        return [answer_text(task, label) for label in rows["label"][:]]
    return list(rows["target"][:])


def _rendered(
    template: str, rows: datasets.Dataset | Mapping[str, Sequence[Any]]
) -> list[str]:
    names = template_fields(template)
    columns = zip(*(rows[name][:] for name in names), strict=True)
    return [
        render_template(template, dict(zip(names, values, strict=True)))
        for values in columns
    ]
