"""Data files to raw rows: json, jsonl, tsv, csv and parquet, plain or gz.

A reader yields `(place, row)`, the place being words such as `"line 7"` for messages.
Blank lines are passed over. Where the file is malformed it raises a `UserError` that
names file, place and, for json, the column of the text.
"""

import csv
import io
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from kerastune_llm.data import squad_json
from kerastune_llm.data.files import check_file, open_bytes, open_text
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Row

logger = logging.getLogger(__name__)

_TOO_MANY = {".csv": 'quotes around a field with commas in it: "a, b"'}
PlacedRow = tuple[str, Row]
SUFFIXES = (".json", ".jsonl", ".ndjson", ".tsv", ".csv", ".parquet")


def read_file(
    path: Path,
    *,
    form: str | None = None,
    tsv_columns: Sequence[str] = (),
    wanted: Sequence[str] = (),
    drops_short_rows: bool = False,
) -> Iterator[PlacedRow]:
    """Raw rows of a file, in the form its name says (`.json.gz` is json in a gz).

    Args:
        path: The file.
        form: `"json"`, `"jsonl"` or the like, where the name does not say.
        tsv_columns: Column names for a tsv file without a header.
        wanted: Columns that tell a tsv file's header from a first row.
        drops_short_rows: Leave out rows of a tsv file that lack fields, and say how
            many; otherwise the first of them is an error.

    Raises:
        UserError: The file is missing, empty, malformed, or of no known form.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if form is not None:
        suffix = f".{form}"
    if suffix not in SUFFIXES and not path.is_dir():
        raise UserError(
            "The form of the data file is not known from its name.",
            accepted=", ".join(SUFFIXES) + ", each also with .gz",
            received=str(path),
            mend="give it the suffix of what it is; save a spreadsheet as csv, UTF-8",
        )
    check_file(path)
    if suffix == ".tsv":
        return _read_tsv(path, tsv_columns, wanted, drops_short_rows)
    if suffix == ".csv":
        return _read_csv(path)
    if suffix == ".parquet":
        return _read_parquet(path)
    return _read_json(path) if suffix == ".json" else _read_jsonl(path)


def _read_json(path: Path) -> Iterator[PlacedRow]:
    with open_text(path) as file:
        text = file.read()
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from _read_jsonl(path)
            return
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: "
            f"malformed json ({error.msg})."
        ) from error
    del text
    if isinstance(content, dict):
        # TriviaQA's own files have a capital there.
        rows = content.get("data", content.get("Data"))
    else:
        rows = content
    if not isinstance(rows, list):
        raise UserError(
            f"{path} holds no rows.",
            accepted='a list of objects, {"data": [...]}, or SQuAD\'s json',
            received=_described(content),
            mend=_only_rows(content, path),
        )
    if squad_json.is_squad(rows):
        yield from squad_json.read(path, rows)
        return
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", _object(row, path, f"row {number}")


def _only_rows(content: Any, path: Path) -> str:
    """The command that writes the rows alone, where they are under a name."""
    lists = [
        name
        for name, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if not lists:
        return 'from pandas: to_json("rows.jsonl", orient="records", lines=True)'
    # In double quotes, which the shell's single ones leave alone.
    file, name = json.dumps(str(path)), json.dumps(lists[0])
    code = f"import json; print(json.dumps(json.load(open({file}))[{name}]))"
    return f"python -c {shlex.quote(code)} > rows.json"


def _described(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(content)}"[:80]
    return f"json of type {type(content).__name__}"


def _read_jsonl(path: Path) -> Iterator[PlacedRow]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}, line {number}, column {error.colno}: "
                    f"malformed json ({error.msg}).",
                    accepted="one json object on each line",
                    mend=f"`jq -c . {shlex.quote(str(path))} > rows.jsonl`, where one "
                    "object takes several lines"
                    if line.strip() in ("{", "[")
                    else None,
                ) from error
            yield f"line {number}", _object(row, path, f"line {number}")


def _object(row: Any, path: Path, place: str) -> Row:
    if not isinstance(row, dict):
        raise UserError(
            f"{path}, {place}: not a json object.",
            accepted='{"column": value, ...}',
            received=repr(row)[:80],
        )
    return row


def _read_tsv(
    path: Path, tsv_columns: Sequence[str], wanted: Sequence[str], drops_short: bool
) -> Iterator[PlacedRow]:
    """Rows of GLUE's tsv: tabs part the fields and quotes mean nothing."""
    columns: Sequence[str] = ()
    dropped = 0
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            line = line.rstrip("\r\n")
            if not line.strip():
                continue
            fields = line.split("\t")
            if not columns:
                has_header = not tsv_columns or set(wanted) <= set(fields)
                columns = fields if has_header else tsv_columns
                if has_header:
                    _check_header(path, columns)
                    continue
            if drops_short and len(fields) < len(columns):
                dropped += 1
                continue
            yield f"line {number}", _named(path, number, columns, fields)
    if dropped:
        logger.warning("%s: %d rows with missing fields left out", path, dropped)


def _read_csv(path: Path) -> Iterator[PlacedRow]:
    # The limit of 131,072 characters a field is less than a long document.
    csv.field_size_limit(sys.maxsize)
    columns: Sequence[str] = ()
    with open_text(path, newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=_delimiter(path))
        last_line = 0
        try:
            for fields in reader:
                number, last_line = last_line + 1, reader.line_num
                if not fields:
                    continue
                if not columns:
                    columns = fields
                    _check_header(path, columns)
                    continue
                yield f"line {number}", _named(path, number, columns, fields)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {last_line + 1}: malformed csv ({error}).",
                accepted='comma separated fields, with "" for a quote in quotes',
            ) from error


def _delimiter(path: Path) -> str:
    """A comma; what parts the names in the first line, where no comma does.

    Spreadsheets write semicolons where the comma is the decimal point.
    """
    with open_text(path) as file:
        header = next(filter(str.strip, file), "")
    others = [sign for sign in (";", "\t") if sign in header]
    if "," in header or not others:
        return ","
    logger.info("%s: %r parts its fields", path, others[0])
    return others[0]


def _check_header(path: Path, columns: Sequence[str]) -> None:
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise UserError(
            f"{path}: the header names a column twice.", received=", ".join(doubled)
        )


def _named(path: Path, number: int, columns: Sequence[str], fields: list[str]) -> Row:
    if len(fields) != len(columns):
        raise UserError(
            f"{path}, line {number}: wrong number of fields.",
            accepted=f"{len(columns)}: {', '.join(columns)}",
            received=f"{len(fields)}: {', '.join(fields)[:80]}",
            mend=None if len(fields) < len(columns) else _TOO_MANY.get(path.suffix),
        )
    return dict(zip(columns, fields, strict=True))


def _read_parquet(path: Path) -> Iterator[PlacedRow]:
    number = 0
    with open_bytes(path) as file:
        # Parquet is read from its end, which a gz stream has no way to.
        content = io.BytesIO(file.read()) if path.suffix == ".gz" else file
        try:
            for batch in pyarrow.parquet.ParquetFile(content).iter_batches(10_000):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise UserError(
                f"{path}: not a parquet file, or a damaged one ({error})."
            ) from error
