"""Training rows written as a file that `--data.train` reads."""

import csv
import io
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet

from kerastune_llm.commands.output_file import check_form, writing
from kerastune_llm.data.raw_rows import raw_rows
from kerastune_llm.rundir import write_bytes, write_jsonl, write_text
from kerastune_llm.tasks.task import Task

FORMS = ("jsonl", "csv", "parquet")


def write_rows(path: Path, task: Task, rows: datasets.Dataset) -> None:
    """Write canonical rows in the task's own columns, as jsonl, csv or parquet.

    Raises:
        UserError: The file cannot be written, or csv cannot hold the rows.
    """
    form = check_form(path, FORMS, "Rows")
    raw = raw_rows(task, rows, flat=form == "csv")
    with writing(path):
        if form == "jsonl":
            write_jsonl(path, raw)
        elif form == "csv":
            values = list(raw)
            text = io.StringIO()
            writer = csv.DictWriter(text, list(values[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(values)
            write_text(path, text.getvalue())
        else:
            content = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(raw)), content)
            write_bytes(path, content.getvalue())
