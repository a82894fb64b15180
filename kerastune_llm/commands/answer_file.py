"""The file that answers are appended to, so that an interrupted one can go on.

Beside `answers.jsonl` stands `answers.jsonl.origin.json`: digests of the inputs and of
the model, how many rows are answered, and how long the file was then and its digest.
What stands behind that length was cut off while it was written, and is dropped.
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from kerastune_llm.commands.output_file import check_form, writing
from kerastune_llm.errors import UserError
from kerastune_llm.rundir import write_json

FORMS = ("jsonl", "csv")
BLOCK = 1 << 20

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What answers are answers to, and by which model.

    Args:
        run: The run directory, for people.
        inputs: Digest of the inputs.
        model: Digest of the model and of all else that decides its answers.
        rows: How many inputs there are.
    """

    run: str
    inputs: str
    model: str
    rows: int


class AnswerFile:
    """Answers in a jsonl or csv file, chunk after chunk.

    Args:
        path: The file. What does not end in .csv is jsonl.
        origin: What the answers belong to.

    Raises:
        UserError: The file cannot be written, or holds something else.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path = path
        self.origin = origin
        self.answered = 0
        self._form = check_form(path, FORMS, "Answers")
        self._record = path.with_name(f"{path.name}.origin.json")
        self._content = hashlib.blake2b(digest_size=16)
        self._size = 0
        with writing(path):
            if path.exists() and path.stat().st_size:
                self._take_up()
            else:
                self._record.unlink(missing_ok=True)
                # Not left behind empty where the model turns out not to load.
                with path.open("ab"):
                    pass
                path.unlink()

    def append(self, records: Sequence[Record]) -> None:
        """Add the answers of the next rows; they are on the disk when it returns."""
        text = _as_text(records, self._form, with_header=self.answered == 0)
        content = text.encode()
        with writing(self.path):
            if self._size == 0:
                # First, so that a file cut off in its first rows is known, too.
                self._write_record()
            with self.path.open("r+b" if self._size else "wb") as file:
                file.seek(self._size)
                file.truncate()
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._content.update(content)
            self._size += len(content)
            self.answered += len(records)
            self._write_record()

    def _write_record(self) -> None:
        position = {
            "answered": self.answered,
            "bytes": self._size,
            "content": self._content.hexdigest(),
        }
        write_json(self._record, {**asdict(self.origin), **position})

    def _take_up(self) -> None:
        """Go on behind the answers that the file holds already.

        Raises:
            UserError: It was not made from these inputs by this model, or was changed.
        """
        known = _read_record(self._record)
        if known is None:
            raise self._refusal("holds something else than answers begun here")
        for name, what in (("inputs", "other inputs"), ("model", "another model")):
            if known[name] != getattr(self.origin, name):
                raise self._refusal(f"holds the answers of {what} ({known['run']})")
        self._hash_beginning(known["bytes"])
        if self._content.hexdigest() != known["content"]:
            raise self._refusal("was changed after it was written")
        self._size, self.answered = known["bytes"], known["answered"]

    def _hash_beginning(self, size: int) -> None:
        with self.path.open("rb") as file:
            while size and (block := file.read(min(size, BLOCK))):
                self._content.update(block)
                size -= len(block)

    def _refusal(self, why: str) -> UserError:
        return UserError(
            f"The output file {why}, and is left as it is.",
            received=str(self.path),
            mend="another --output FILE, or remove this one",
        )


class AnswerStream:
    """Answers on standard output as jsonl, row after row; nothing can be resumed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.answered = 0
        self._stream = stream or sys.stdout

    def append(self, records: Sequence[Record]) -> None:
        """Write the answers of the next rows."""
        self._stream.write(_as_text(records, "jsonl", with_header=False))
        self._stream.flush()
        self.answered += len(records)


def _read_record(path: Path) -> dict[str, Any] | None:
    """What stands beside an answer file; `None` where nothing of use does."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return known if known["bytes"] >= 0 and known["answered"] >= 0 else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _as_text(records: Sequence[Record], form: str, *, with_header: bool) -> str:
    if form == "jsonl":
        return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    rows = [_flat(record) for record in records]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(record: Record) -> dict[str, Any]:
    """A record with a column for each label, where it has a score for each."""
    flat = {name: value for name, value in record.items() if name != "scores"}
    return flat | {f"score {n}": v for n, v in record.get("scores", {}).items()}


def digest_of(values: Sequence[Sequence[str]]) -> str:
    """A digest of rows of texts and of their order."""
    digest = hashlib.blake2b(digest_size=16)
    for row in values:
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def digest_of_folder(folder: Path, settings: Mapping[str, Any]) -> str:
    """A digest of all files of a folder, and of settings."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode())
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()
