"""Files that a verb writes where the user wants them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerastune_llm.errors import NO_ROOM, UserError


def check_form(
    path: Path, forms: Sequence[str], what: str, *, flag: str = "--output"
) -> str:
    """The form that a file's name ends in, one of `forms`; `.jsonl` is `"jsonl"`.

    Args:
        path: The file to be written.
        forms: Accepted endings, without the dot.
        what: What is to be written, for the message: `"Answers"`.
        flag: The flag that named the file.

    Raises:
        UserError: The name has another ending, or a folder has this name.

    Example:
    >>> check_form(Path("answers.csv"), ["jsonl", "csv"], "Answers")
    'csv'
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in forms:
        names = ", ".join(f".{name}" for name in forms)
        raise UserError(
            f"{what} are written in a form that the file's name says.",
            accepted=f"a name that ends in {names}",
            received=str(path),
            mend=f"{flag} {path.with_suffix(f'.{forms[0]}') if path.name else 'FILE'}",
        )
    if path.is_dir():
        raise UserError(
            f"{what} are written into a file, and this is a folder.",
            received=str(path),
            mend=f"{flag} {path}/{what.lower()}.{forms[0]}",
        )
    return form


def check_new(path: Path, *, flag: str = "--output") -> None:
    """Refuse a file that is there already.

    Raises:
        UserError: It is.
    """
    if path.exists():
        raise UserError(
            "The file is there already, and is left as it is.",
            received=str(path),
            mend=f"another {flag} FILE, or remove this one",
        )


@contextlib.contextmanager
def writing(path: Path, *, flag: str = "--output") -> Iterator[None]:
    """Make the folder of a file, and say it where file or folder cannot be written.

    A full disk is not the place's fault, and passes through.

    Raises:
        UserError: The place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in NO_ROOM or isinstance(error, BrokenPipeError):
            raise
        raise UserError(
            f"The file cannot be written: {error.strerror}.",
            received=str(path),
            mend=f"another {flag} FILE",
        ) from error
