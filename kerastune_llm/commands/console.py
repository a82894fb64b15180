"""The console and the log file of a run."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)

PACKAGE_LOGGER = logging.getLogger("kerastune_llm")


@contextlib.contextmanager
def console_on_stderr() -> Iterator[None]:
    """Say everything on stderr, where stdout is for what a verb gives."""
    before = console.stderr
    console.stderr = True
    try:
        yield
    finally:
        console.stderr = before


class _ConsoleHandler(logging.Handler):
    """Messages as plain lines of the shared console, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        warns = record.levelno >= logging.WARNING
        prefix = f"{record.levelname.lower()}: " if warns else ""
        style = "yellow" if warns else None
        console.print(prefix + record.getMessage(), style=style, markup=False)


@contextlib.contextmanager
def logging_to(log_file: Path | None) -> Iterator[None]:
    """Show the package's log messages on the console and append them to `log_file`."""
    handlers: list[logging.Handler] = [_ConsoleHandler()]
    if log_file is not None:
        to_file = logging.FileHandler(log_file, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(to_file)
    if not console.is_terminal:
        import datasets

        datasets.disable_progress_bars()
    level, propagate = PACKAGE_LOGGER.level, PACKAGE_LOGGER.propagate
    PACKAGE_LOGGER.setLevel(logging.INFO)
    # A library that logs through the root logger gives it a handler of its own, and
    # each message would be said twice.
    PACKAGE_LOGGER.propagate = False
    for handler in handlers:
        PACKAGE_LOGGER.addHandler(handler)
    try:
        yield
    finally:
        PACKAGE_LOGGER.setLevel(level)
        PACKAGE_LOGGER.propagate = propagate
        for handler in handlers:
            PACKAGE_LOGGER.removeHandler(handler)
            handler.close()


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Print a table; numbers are right-aligned."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar as a callback `(rows done, rows in all)`."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
