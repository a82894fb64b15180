"""Folders with one text file a row, such as aclImdb's `train/pos/0_9.txt`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from kerastune_llm.data.files import open_text
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.task import Row


def read_label_folders(
    folder: Path, labels: Mapping[str, str]
) -> Iterator[tuple[str, Row]]:
    """Rows `{"id", "text", "label"}`, each with its file as its place.

    Args:
        folder: Holds a folder for each label.
        labels: Their names, and the label each stands for; others are passed over.

    Raises:
        UserError: One of them is missing or empty, or a file is not UTF-8.
    """
    for name in labels:
        if not any((folder / name).glob("*.txt")):
            inside = sorted(p.name for p in folder.iterdir() if p.is_dir())
            split = next((p for p in inside if p in ("train", "test")), None)
            raise UserError(
                f"The folder has no text files in {name}/.",
                accepted=" and ".join(f"{name}/*.txt" for name in labels),
                received=f"{folder} with {', '.join(inside) or 'no folders'}",
                mend=f"{folder / split}" if split else None,
            )
    return _rows(folder, labels)


def _rows(folder: Path, labels: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    for name, label in labels.items():
        for file in sorted((folder / name).glob("*.txt")):
            with open_text(file) as text:
                row = {"id": f"{name}/{file.stem}", "text": text.read(), "label": label}
            yield f"{name}/{file.name}", row
