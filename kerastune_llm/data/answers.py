"""Labels as the text a model writes, and that text back as a label."""

import math

import numpy as np

from kerastune_llm.tasks.task import Task

OUTSIDE = -1
SEPARATOR = ", "

Label = int | float | list[int]


def answer_text(task: Task, label: Label) -> str:
    """A label as text: its name, the names with commas between, or the number.

    >>> from dataclasses import replace
    >>> from kerastune_llm.tasks.task import get_task
    >>> answer_text(get_task("cola"), 1)
    'acceptable'
    >>> answer_text(get_task("stsb"), 3.25)
    '3.2'
    >>> answer_text(replace(get_task("tags"), labels=("php", "sql")), [1, 0])
    'sql, php'
    """
    if task.kind == "multilabel":
        return SEPARATOR.join(task.labels[index] for index in label)
    if task.kind == "regression":
        return _number_text(label, task.number_step)
    return task.labels[label]


def read_answer(task: Task, text: str) -> str | Label:
    """What metrics are given for a generated text; for seq2seq the text itself.

    A text that names no label is -1, and one that is no number -1.0, as T5's own
    evaluation has it.

    >>> from kerastune_llm.tasks.task import get_task
    >>> read_answer(get_task("cola"), "acceptable"), read_answer(get_task("cola"), "?")
    (1, -1)
    >>> read_answer(get_task("stsb"), "3.2"), read_answer(get_task("stsb"), "none")
    (3.2, -1.0)
    """
    if not task.has_labels:
        return text
    if task.kind == "regression":
        return _read_number(text)
    index = {name: number for number, name in enumerate(task.labels)}
    if task.kind == "classification":
        return index.get(text, OUTSIDE)
    names = [name.strip() for name in text.split(",") if name.strip()]
    return list(dict.fromkeys(index.get(name, OUTSIDE) for name in names))


def _number_text(value: float, step: float) -> str:
    """The number, rounded to a multiple of `step` in float32 as T5 rounds STS-B."""
    if not step:
        return f"{value:g}"
    per_unit = np.float32(1 / step)
    rounded = np.round(np.float32(value) * per_unit) / per_unit
    decimals = len(f"{step:g}".partition(".")[2])
    return f"{rounded:.{decimals}f}"


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return float(OUTSIDE)
    return number if math.isfinite(number) else float(OUTSIDE)
