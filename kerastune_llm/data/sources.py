"""Where rows come from: files, the generated sample, or the Hugging Face hub."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from kerastune_llm.data.downloads import local_file
from kerastune_llm.data.label_folders import read_label_folders
from kerastune_llm.data.labels import discover_labels, encode_labels
from kerastune_llm.data.readers import read_file
from kerastune_llm.data.rows import Table, input_fields, to_dataset
from kerastune_llm.data.subsets import subset
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Task

__all__ = ["discover_labels", "encode_labels", "load_rows"]

logger = logging.getLogger(__name__)


def load_rows(
    task: Task,
    split: str,
    *,
    source: Literal["sample", "hub", "files"] = "sample",
    path: str | Path | Sequence[str | Path] | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    require_target: bool = True,
) -> datasets.Dataset:
    """The rows of a split in canonical form, every one of them checked.

    Columns: the fields of the input template and `id` (text), then `target` (text) and
    `references` (list of texts), or `label`: an index into `task.labels`; the label's
    name while the task names no labels (see `discover_labels`, `encode_labels`); for
    multilabel a list of these; a number for regression. Rows of a task with a
    `group_column` have that text as `group`.

    Args:
        task: What the rows are for.
        split: `"train"` or `"validation"`.
        source: Where they come from; `path` goes with `"files"`.
        path: A file or its address, or several that are read one after another.
        max_rows: Keep a random subset of this many, in the file's order. Random,
            because many files are sorted by label.
        seed: Chooses the subset.
        require_target: Whether rows must say what is to be learned; without, only the
            inputs are read, as prediction needs them.

    Raises:
        UserError: No such file, malformed rows, the hub out of reach; with the place.

    Example:
    >>> from kerastune_llm.tasks.task import get_task
    >>> rows = load_rows(get_task("cola"), "validation", max_rows=10)
    >>> len(rows), sorted(rows.column_names)
    (10, ['id', 'label', 'sentence'])
    """
    tables = _tables(task, split, source, path)
    rows = to_dataset(task, tables, require_target=require_target)
    names = ", ".join(table.name for table in tables)
    if len(rows) == 0:
        raise UserError(f"There are no rows in {names}.")
    logger.info("%s: %d rows from %s", split, len(rows), names)
    return subset(rows, max_rows, seed=seed)


def _tables(
    task: Task,
    split: str,
    source: str,
    path: str | Path | Sequence[str | Path] | None,
) -> list[Table]:
    if source == "files":
        return file_tables(task, split, path)
    if source == "hub":
        return [_hub_table(task, split)]
    if source != "sample":
        raise UserError(
            "Unknown data source.", accepted="sample, hub, files", received=source
        )
    if task.sample is None:
        raise UserError(
            f"The task {task.name} has no generated sample.",
            mend=f"--data.{split} FILE",
        )
    return [Table(f"the {split} sample", _numbered(task.sample(split)))]


def _numbered(rows: Sequence | datasets.Dataset) -> Iterator[tuple[str, dict]]:
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def file_tables(
    task: Task, split: str, path: str | Path | Sequence[str | Path] | None
) -> list[Table]:
    """The raw rows of files, one table a file, read as they are asked for."""
    paths = [path] if isinstance(path, str | Path) else list(path or ())
    if not paths:
        raise UserError(f"No {split} file is given.", mend=f"--data.{split} FILE")
    return [Table(str(path), _read(task, local_file(path))) for path in paths]


def _read(task: Task, path: Path) -> Iterator[tuple[str, dict]]:
    if path.is_dir() and task.label_folders:
        return read_label_folders(path, task.label_folders)
    return read_file(
        path,
        tsv_columns=task.tsv_columns,
        wanted=[task.columns.get(name, name) for name in input_fields(task)],
        drops_short_rows=task.drops_short_rows,
    )


def _hub_table(task: Task, split: str) -> Table:
    if task.hub is None:
        raise UserError(
            f"The task {task.name} has no dataset on the hub.",
            mend=f"--data.{split} FILE",
        )
    name = "/".join(filter(None, (task.hub, task.hub_config)))
    logger.info("%s: asking the Hugging Face hub for %s", split, name)
    try:
        with _retries_unsaid():
            rows = datasets.load_dataset(
                task.hub, task.hub_config, split=task.hub_splits.get(split, split)
            )
    except (OSError, ValueError, HfHubHTTPError, DatasetsError) as error:
        mends = [f"--data.{split} FILE"] + ["--data.source sample"] * bool(task.sample)
        raise UserError(
            f"The dataset {name} cannot be had from the Hugging Face hub ({error}).",
            mend=" or ".join(mends),
        ) from error
    return Table(f"{name} on the hub", _numbered(rows))


@contextlib.contextmanager
def _retries_unsaid() -> Iterator[None]:
    """Without the hub's client saying its whole error at each of five attempts.

    Where the last one fails, it is raised.
    """
    client = logging.getLogger("huggingface_hub.utils._http")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(level)
