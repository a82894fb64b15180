"""Rows that are to be answered: from a file of any form, or from standard input."""

import csv
import logging
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import datasets

from kerastune_llm.data.downloads import local_file
from kerastune_llm.data.files import check_file, open_text
from kerastune_llm.data.label_folders import read_label_folders
from kerastune_llm.data.readers import SUFFIXES, PlacedRow, read_file
from kerastune_llm.data.rows import Table, input_fields, to_dataset
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.tasks.task import Task

logger = logging.getLogger(__name__)

FORMS = (*(suffix[1:] for suffix in SUFFIXES), "text")
STDIN = Path("-")
_TEXT_SUFFIXES = (".txt", ".text")


def read_inputs(
    task: Task, path: str | Path = STDIN, *, form: str | None = None
) -> datasets.Dataset:
    """The canonical rows of a file, of which only what inputs need is read.

    Args:
        task: Its templates name the columns.
        path: The file or its address; `-` is standard input.
        form: One of `FORMS`, `"text"` being one input a line. Default: what the file's
            name says, or for standard input what it looks like.

    Raises:
        UserError: No such file, a form that cannot be told or does not suit the task,
            or a row without a column it needs, with its place.
    """
    if form is not None and form not in FORMS:
        raise unknown_name("form", form, FORMS)
    if path != STDIN:
        return _checked(task, str(path), _read(task, local_file(path), form))
    if sys.stdin.isatty():
        logger.info("reading standard input; Ctrl-D ends it")
    with _spooled(sys.stdin.buffer) as file:
        if form is None:
            form = guess_form(file.read_bytes()[: 1 << 16], _columns(task))
            logger.info("standard input is read as %s", _described(form))
        # A reader learns the form from `form`, and may read the file twice.
        with _named_as(file, "standard input"):
            return _checked(task, "standard input", _read(task, file, form))


def _checked(task: Task, name: str, rows: Iterator[PlacedRow]) -> datasets.Dataset:
    found = to_dataset(task, [Table(name, rows)], require_target=False)
    if len(found) == 0:
        raise UserError(f"There are no rows in {name}.")
    return found


def _read(task: Task, path: Path, form: str | None) -> Iterator[PlacedRow]:
    if form == "text" or (form is None and path.suffix in _TEXT_SUFFIXES):
        return _read_lines(path, _only_column(task))
    if path.is_dir() and task.label_folders:
        return read_label_folders(path, task.label_folders)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if form is None and suffix not in SUFFIXES and path.is_file():
        raise UserError(
            "The form of the input cannot be told from its name.",
            accepted=f"{', '.join((*SUFFIXES, '.txt'))}, or --form",
            received=str(path),
            mend=f"--form {'|'.join(FORMS)}",
        )
    return read_file(
        path,
        form=form,
        tsv_columns=task.tsv_columns,
        wanted=_columns(task),
        drops_short_rows=task.drops_short_rows,
    )


def _read_lines(path: Path, column: str) -> Iterator[PlacedRow]:
    """Plain text, one input a line; blank lines are passed over."""
    check_file(path)
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"line {number}", {column: line.rstrip("\r\n")}


def _columns(task: Task) -> list[str]:
    """The source's names of the columns that the inputs need."""
    return [task.columns.get(name, name) for name in input_fields(task)]


def _only_column(task: Task) -> str:
    columns = _columns(task)
    if len(columns) != 1:
        raise UserError(
            f"Plain text has one field a line, and the task {task.name} needs "
            f"{len(columns)}: {', '.join(columns)}.",
            mend="rows as jsonl, or csv or tsv whose first line names these columns; "
            "--form says which where it cannot be told",
        )
    return columns[0]


def guess_form(head: bytes, columns: Sequence[str]) -> str:
    """What rows look like, by the first of their bytes.

    A csv or tsv file is known by a first line that names all columns; what looks like
    nothing else is plain text.

    >>> guess_form(b'{"q": "Why?"}', ["q"]), guess_form(b'[{"q": "Why?"}]', ["q"])
    ('jsonl', 'json')
    >>> guess_form(b'id,q', ["q"]), guess_form(b"Why, then?", ["q"])
    ('csv', 'text')
    """
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    line = text.partition("\n")[0].rstrip()
    if line.startswith("{"):
        return "jsonl" if line.endswith("}") and line != "{}" else "json"
    if re.match(r"\[\s*[{\]]", text):
        return "json"
    if set(columns) <= set(line.split("\t")):
        return "tsv"
    fields = next(csv.reader([line]), [])
    return "csv" if set(columns) <= set(fields) else "text"


def _described(form: str) -> str:
    return "plain text, one input a line" if form == "text" else form


@contextmanager
def _spooled(stream: BinaryIO) -> Iterator[Path]:
    """All of a stream as a file, which readers may open more than once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input"
        with file.open("wb") as copy:
            while block := stream.read(1 << 20):
                copy.write(block)
        if file.stat().st_size == 0:
            raise UserError(
                "There are no rows on standard input.",
                mend="--input FILE, or pipe them in",
            )
        yield file


@contextmanager
def _named_as(file: Path, name: str) -> Iterator[None]:
    """Say `name` where an error names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(file), name)) from error
