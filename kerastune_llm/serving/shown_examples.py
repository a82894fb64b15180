"""Rows of the validation set that lie beside an exported model, for people to try."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from kerastune_llm.rundir import write_json
from kerastune_llm.serving.nasty_texts import NASTY_TEXTS

FILE_NAME = "examples.json"
MOST_ROWS = 32


def write_examples(folder: Path, fields: Mapping[str, Sequence[str]]) -> None:
    """Write the first rows that are no made-up nasty texts into `assets.extra`.

    Args:
        folder: `assets.extra`; made when it is absent.
        fields: Texts by field, of one length.
    """
    made_up = set(NASTY_TEXTS)
    columns = zip(*fields.values(), strict=True)
    rows = [dict(zip(fields, row, strict=True)) for row in columns]
    real = [row for row in rows if not made_up.issuperset(row.values())]
    write_json(folder / FILE_NAME, {"rows": real[:MOST_ROWS]})


def read_examples(folder: Path) -> list[dict[str, str]]:
    """The rows in `assets.extra`, by field; none where there is no such file."""
    file = folder / FILE_NAME
    if not file.is_file():
        return []
    return json.loads(file.read_text(encoding="utf-8"))["rows"]
