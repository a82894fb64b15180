"""Opening data files: gz, UTF-8, and errors that say where."""

import gzip
import io
import json
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from kerastune_llm.errors import UserError, nearest


def check_file(path: Path) -> None:
    """Raise a `UserError` unless `path` is a file with something in it."""
    if path.is_dir():
        raise _folder(path)
    if not path.is_file():
        folder = path.parent
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        alike = ", ".join(str(folder / name) for name in nearest(path.name, names))
        raise UserError(
            "The data file does not exist."
            + (f" Did you mean {alike}?" if alike else ""),
            received=str(path),
        )
    if path.stat().st_size == 0:
        raise UserError("The data file is empty.", received=str(path))


# Of a folder of text files for each label, a csv with both.
_TEXTS_AS_ROWS = """
import csv, glob, pathlib
rows = csv.writer(open("rows.csv", "w", newline="", encoding="utf-8"))
rows.writerow(["text", "label"])
for file in map(pathlib.Path, sorted(glob.glob({pattern}))):
    rows.writerow([file.read_text(encoding="utf-8"), file.parent.name])
"""


def _folder(path: Path) -> UserError:
    inside = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(inside[:6]) + (", …" if len(inside) > 6 else "")
    mend = f"one file, such as {path / inside[0]}" if inside else "another file"
    if any(path.glob("*/*.txt")):
        code = _TEXTS_AS_ROWS.format(pattern=json.dumps(f"{path}/*/*.txt"))
        mend = f"rows labelled by folder: python -c {shlex.quote(code)}"
    return UserError(
        "A folder was given for a data file.",
        accepted="a file",
        received=f"{path} with {shown or 'nothing in it'}",
        mend=mend,
    )


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when its name ends in .gz.

    Raises:
        UserError: It cannot be read, or the gz is damaged.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"The gz file is damaged: {error}", received=str(path)
        ) from error
    except OSError as error:
        raise UserError(
            f"The data file cannot be read: {error}", received=str(path)
        ) from error


@contextmanager
def open_text(path: Path, newline: str | None = "\n") -> Iterator[TextIO]:
    """The file's text, from UTF-8 with or without a byte order mark.

    Raises:
        UserError: It is not UTF-8; with the line and the byte.
    """
    with open_bytes(path) as file:
        try:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline)
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error


def _converted(path: Path, is_utf_16: bool) -> str:
    """The command that makes a file with a suffix that says the same of it."""
    name, dot, suffix = path.name.removesuffix(".gz").partition(".")
    to = shlex.quote(str(path.with_name(f"{name}-utf8{dot}{suffix}")))
    read = "gzip -dc" if path.suffix == ".gz" else "cat"
    encoding = "UTF-16" if is_utf_16 else "WINDOWS-1252"
    command = f"{read} {shlex.quote(str(path))} | iconv -f {encoding} -t UTF-8 > {to}"
    return command if is_utf_16 else f"{command}, with the encoding it really has"


def _not_utf8(path: Path) -> UserError:
    """The error with its place, which the text reader knows only within its buffer."""
    offset = 0
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                offset += error.start
                return UserError(
                    f"{path}, line {number}: not UTF-8 text "
                    f"(byte {line[error.start]:#04x} at offset {offset}).",
                    mend=_converted(path, offset == 0 and line[:2] in _UTF_16),
                )
            offset += len(line)
    return UserError("The file changed while it was read.", received=str(path))
