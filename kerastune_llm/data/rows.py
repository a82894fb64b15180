"""Raw rows to canonical ones: the template's fields, `id`, and what is to be learned.

A seq2seq row has `target` (text) and `references` (list of texts), a labelled one
`label`; `row_labels` says what that is.
"""

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import datasets

from kerastune_llm.data.problems import ColumnError, Problems
from kerastune_llm.data.row_labels import label_feature, row_label
from kerastune_llm.errors import nearest
from kerastune_llm.tasks.task import Row, Task, render_template, template_fields

CHUNK = 10_000
logger = logging.getLogger(__name__)

_ABSENT = object()
# What rows of a task with a `group_column` have there, empty text where it is absent.
GROUP = "group"


@dataclass
class Table:
    """Raw rows from one place.

    Args:
        name: The file, or what stands for it in messages.
        rows: `(place, row)` pairs.
    """

    name: str
    rows: Iterable[tuple[str, Row]]


def input_fields(task: Task) -> tuple[str, ...]:
    """Columns that the input templates name, for both forms of the task."""
    both = task.fields(as_text=False) + task.fields(as_text=True)
    return tuple(dict.fromkeys(both))


def to_dataset(
    task: Task, tables: Iterable[Table], *, require_target: bool
) -> datasets.Dataset:
    """All tables' rows in canonical form, checked to the last one.

    Raises:
        UserErrors: The first problem of each kind, with file, row and column.
    """
    problems = Problems()
    features = _features(task, require_target=require_target)
    rows = canonical_rows(task, tables, problems, require_target=require_target)
    chunks, blank, fields = [], [], input_fields(task)
    while chunk := list(islice(rows, CHUNK)):
        chunks.append(datasets.Dataset.from_list(chunk, features=features))
        blank += [r["id"] for r in chunk if not any(r[n].strip() for n in fields)]
    problems.raise_if_any()
    if blank:
        logger.warning(
            "%d rows have an empty input and are kept: id %s",
            len(blank),
            ", ".join(blank[:5]) + (", ..." if len(blank) > 5 else ""),
        )
    if not chunks:
        return datasets.Dataset.from_dict({name: [] for name in features}, features)
    return datasets.concatenate_datasets(chunks)


def _features(task: Task, *, require_target: bool) -> datasets.Features:
    text = datasets.Value("string")
    features = {"id": text} | {name: text for name in input_fields(task)}
    if require_target and task.group_column:
        features[GROUP] = text
    if require_target and not task.has_labels:
        features |= {"target": text, "references": datasets.List(text)}
    elif require_target:
        features["label"] = label_feature(task)
    return datasets.Features(features)


def canonical_rows(
    task: Task,
    tables: Iterable[Table],
    problems: Problems,
    *,
    require_target: bool = True,
) -> Iterator[Row]:
    """All tables' rows in canonical form; those that are not right go to `problems`."""
    number = 0
    for table in tables:
        for place, raw in table.rows:
            try:
                yield canonical_row(task, raw, number, require_target=require_target)
            except ColumnError as error:
                problems.add(table.name, place, error)
            number += 1


def canonical_row(task: Task, raw: Row, number: int, *, require_target: bool) -> Row:
    """One row in canonical form.

    Args:
        task: The task; its renames and its `prepare` are applied.
        raw: The row as read.
        number: Position among all rows, the `id` of a row without one.
        require_target: Whether what is to be learned must be there.

    Raises:
        ColumnError: A column is missing, null, of the wrong type or out of range.
    """
    row = task.prepare(_renamed(task, raw))
    identity = row.get(task.id_column)
    canonical = {"id": str(number if identity is None else identity)}
    for name in input_fields(task):
        canonical[name] = _text(task, row, name)
    if not require_target:
        return canonical
    if task.group_column:
        group = row.get(task.group_column)
        canonical[GROUP] = "" if group is None else str(group)
    if task.has_labels:
        value = _present(task, row, task.label_column)
        column = task.columns.get(task.label_column, task.label_column)
        return canonical | {"label": row_label(task, column, value)}
    return canonical | _target(task, row)


def _renamed(task: Task, raw: Row) -> Row:
    row = dict(raw)
    for name, source in task.columns.items():
        row.pop(name, None)
        found = _at(raw, source)
        if found is not _ABSENT:
            row[name] = found
    return row


def _at(raw: Row, source: str) -> Any:
    """A column, or with dots between the names what is in an object in a column.

    >>> _at({"review": {"text": "good"}}, "review.text")
    'good'
    """
    if source in raw:
        return raw[source]
    place: Any = raw
    for name in source.split("."):
        if not isinstance(place, Mapping) or name not in place:
            return _ABSENT
        place = place[name]
    return place


def _present(task: Task, row: Row, name: str) -> Any:
    """The value of a column, which must be there and not be null."""
    source = task.columns.get(name, name)
    if name not in row:
        is_label = task.has_labels and name == task.label_column
        option = "label-column " if is_label else f"columns {name}="
        raise ColumnError(
            source,
            "the column is missing",
            accepted=f"there are {', '.join(map(_shown, _columns(row)))}",
            mend=f"--task.{option}{_likely(source, row)}",
        )
    if row[name] is None:
        raise ColumnError(source, "the value is null", mend="fill it or drop the row")
    return row[name]


def _columns(row: Row) -> Iterator[str]:
    """The columns of a row, and the ways to what is in those that are objects.

    >>> list(_columns({"id": 1, "review": {"text": "good", "lang": {"code": "en"}}}))
    ['id', 'review.text', 'review.lang.code']
    """
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{name}.{part}" for part in _columns(value))
        else:
            yield str(name)


def _shown(column: str) -> str:
    """A name as it is, in quotes where its ends could not be seen."""
    return column if column.strip() == column else repr(column)


def _likely(source: str, row: Row) -> str:
    columns = {column.rpartition(".")[2]: column for column in _columns(row)}
    alike = nearest(source, columns, count=1)
    if not alike:
        return "COLUMN, one of these; the first line of csv and tsv names the columns"
    return shlex.quote(columns[alike[0]])


def _text(task: Task, row: Row, name: str) -> str:
    value = _present(task, row, name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _not_text(task, name, value)
    return str(value)


def _not_text(task: Task, name: str, value: object) -> ColumnError:
    source = task.columns.get(name, name)
    return ColumnError(source, "the value is not text", received=repr(value)[:80])


def _target(task: Task, row: Row) -> Row:
    references = None
    column = task.references_column
    if column and (column in row or not task.target_template):
        references = _references(task, column, row)
    if not task.target_template:
        return {"target": references[0] if references else "", "references": references}
    texts = {n: _text(task, row, n) for n in template_fields(task.target_template)}
    target = render_template(task.target_template, texts)
    return {
        "target": target,
        "references": [target] if references is None else references,
    }


def _references(task: Task, column: str, row: Row) -> list[str]:
    value = _present(task, row, column)
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise _not_text(task, column, value)
    return answers
