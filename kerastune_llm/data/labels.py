"""Labels: finding their names in the rows, and names to indices."""

import math
from typing import Any

import datasets

from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Task

MOST_LABELS = 1000


def label_name(value: Any) -> str | None:
    """A raw label as the name it has in `labels`; `None` for what cannot be a label.

    >>> label_name(1.0), label_name(True), label_name(" spam "), label_name([1])
    ('1', 'true', 'spam', None)
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    if isinstance(value, int | str):
        return str(value).strip()
    return None


def is_null_label(value: Any) -> bool:
    """Whether a raw label is absent: null, not a number, or an empty cell."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def label_index(value: Any, labels: tuple[str, ...]) -> int | None:
    """The index of a raw label: by its name, else as the index it is; or `None`.

    Where names are numbers themselves, a number is a name and never an index.

    >>> label_index("ham", ("spam", "ham")), label_index("0", ("spam", "ham"))
    (1, 0)
    >>> label_index(2, ("1", "2")), label_index(7, ("spam", "ham"))
    (1, None)
    >>> label_index(0, ("1", "2")) is None
    True
    """
    name = label_name(value)
    if name is None:
        return None
    if name in labels:
        return labels.index(name)
    if not _is_whole(name) or any(_is_whole(label) for label in labels):
        return None
    index = int(name)
    return index if 0 <= index < len(labels) else None


def _is_whole(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdigit()


def discover_labels(task: Task, rows: datasets.Dataset) -> tuple[str, ...]:
    """The names in the rows' label column, sorted; whole numbers by their value.

    Args:
        task: A labelled task that names no labels.
        rows: Training rows, loaded before the labels are known: their `label` is text.

    Raises:
        UserError: There is one label only, or so many that it is no label column.
    """
    return label_set(task, _names_in(rows))


def label_set(task: Task, names: set[str]) -> tuple[str, ...]:
    """The names that a label column holds, in the order of `discover_labels`."""
    if not 2 <= len(names) <= MOST_LABELS:
        shown = ", ".join(sorted(names)[:3])
        raise UserError(
            f"The column {task.label_column!r} of the training rows is no label.",
            accepted=f"2 to {MOST_LABELS} different values",
            received=f"{len(names)} different: {shown}",
            mend="--task.label-column NAME, or --task.labels first,second",
        )
    if all(_is_whole(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def encode_labels(rows: datasets.Dataset, labels: tuple[str, ...]) -> datasets.Dataset:
    """Rows loaded before their labels were known, with `label` as index into `labels`.

    Where rows have lists of labels, they are lists of indices.

    Raises:
        UserError: A row's label is not among `labels`.
    """
    index = {name: number for number, name in enumerate(labels)}
    unknown = sorted(_names_in(rows) - set(index))
    if unknown:
        raise UserError(
            "A label is outside the label set.",
            accepted=", ".join(labels),
            received=", ".join(unknown[:3]),
        )
    one: Any = datasets.Value("int64")
    if _has_lists(rows):
        values: list = [[index[name] for name in names] for names in rows["label"]]
        feature = datasets.List(one)
    else:
        values, feature = [index[name] for name in rows["label"]], one
    encoded = datasets.Dataset.from_dict(
        {"label": values}, features=datasets.Features({"label": feature})
    )
    return datasets.concatenate_datasets(
        [rows.remove_columns("label"), encoded], axis=1
    )


def _names_in(rows: datasets.Dataset) -> set[str]:
    if _has_lists(rows):
        return {name for names in rows["label"] for name in names}
    return set(rows["label"])


def names_of(label: str | list[str]) -> set[str]:
    """The names in the label of one row."""
    return {label} if isinstance(label, str) else set(label)


def _has_lists(rows: datasets.Dataset) -> bool:
    return isinstance(rows.features["label"], datasets.List)
