"""The label of a raw row: an index, several of them, or a number.

While the task's labels are still unknown, it is the name, or a list of names.
"""

import math
import shlex
from collections.abc import Sequence
from typing import Any

import datasets

from kerastune_llm.data.labels import is_null_label, label_index, label_name
from kerastune_llm.data.problems import ColumnError
from kerastune_llm.tasks.task import Task

MOST_SHOWN = 20


def label_feature(task: Task) -> datasets.Value | datasets.List:
    """The type of the column `label`."""
    if task.kind == "regression":
        return datasets.Value("float32")
    one = datasets.Value("int64" if task.labels else "string")
    return datasets.List(one) if task.kind == "multilabel" else one


def row_label(
    task: Task, column: str, value: Any
) -> int | str | float | list[int] | list[str]:
    """A raw label as the column `label` holds it.

    Args:
        task: Says which labels there are.
        column: The column's name in the source, for messages.
        value: What stands there.

    Raises:
        ColumnError: It is null, no label, no number, or outside the label set.
    """
    if task.kind == "multilabel":
        return [_known_label(task, column, name) for name in _names(column, value)]
    if is_null_label(value):
        raise _null(column)
    if task.kind == "regression":
        return _number(column, value)
    return _known_label(task, column, value)


def _names(column: str, value: Any) -> Sequence[Any]:
    """The labels of a row, each once: a list of them, or text with commas between."""
    if value is None:
        raise _null(column)
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(map(_may_be_label, value)):
        raise ColumnError(
            column,
            "the value is no list of labels",
            accepted='["php", "sql"], or "php, sql"',
            received=repr(value)[:80],
        )
    return list(dict.fromkeys(value))


def _may_be_label(value: Any) -> bool:
    return isinstance(value, str | int | float) and not is_null_label(value)


def _known_label(task: Task, column: str, value: Any) -> int | str:
    known = label_index(value, task.labels) if task.labels else label_name(value)
    if known is not None:
        return known
    last = len(task.labels) - 1
    names = f"{_few(task.labels)}, or 0 to {last}" if task.labels else "text"
    raise ColumnError(
        column,
        "the label is outside the label set",
        accepted=names,
        received=repr(value)[:80],
        mend=_with_label(task, label_name(value)),
    )


def _with_label(task: Task, name: str | None) -> str | None:
    """How a task of the user's own, whose training rows were looked through for labels,
    gets one more; `None` for the tasks that are known, and for too many labels."""
    if not task.labels or name is None or task.hub or len(task.labels) > MOST_SHOWN:
        return None
    every = shlex.quote(",".join([*task.labels, name]))
    return f"a training row that has it, or --task.labels {every}"


def _few(names: Sequence[str], most: int = MOST_SHOWN) -> str:
    """Names with commas, the first of them where there are too many to show."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _number(column: str, value: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        what = "the value is not a number"
        mend = "a task whose kind is not regression, if these are names"
        raise ColumnError(column, what, received=repr(value)[:80], mend=mend)
    return number


def _null(column: str) -> ColumnError:
    return ColumnError(column, "the value is null", mend="fill it or drop the row")
