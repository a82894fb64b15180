"""Writing a folder whole: beside its place first, moved there when it is complete."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerastune_llm.errors import UserError


@contextlib.contextmanager
def whole_folder(
    directory: str | Path, *, marker: str, replaced: tuple[str, ...], what: str
) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `directory` at the end.

    Args:
        directory: The folder; made when it is absent.
        marker: A file without which a folder that is not empty is somebody else's.
        replaced: Patterns of the files of an earlier folder that are not kept.
        what: What is written, for messages: "model".

    Raises:
        UserError: The place is a file, holds something else, or cannot be written.
            The earlier folder is then as it was.
    """
    directory = Path(directory).expanduser().absolute()
    _check_place(directory, marker, what)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        try:
            new.chmod(0o777 & ~_umask())
            yield new
            _keep_others(directory, new, replaced)
            _put_in_place(new, directory)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"The {what} cannot be saved: {error.strerror or error}",
            received=str(directory),
            mend=f"free some space, or another folder; an earlier {what} there is as "
            "it was",
        ) from error


def _check_place(directory: Path, marker: str, what: str) -> None:
    if directory.exists() and not directory.is_dir():
        raise UserError(f"The place for the {what} is a file.", received=str(directory))
    if not directory.is_dir() or not any(directory.iterdir()):
        return
    if not (directory / marker).is_file():
        with_article = f"an {what}" if what[0] in "aeiou" else f"a {what}"
        raise UserError(
            f"The folder holds something other than {with_article}.",
            accepted=f"a new or empty folder, or one with an earlier {what}",
            received=str(directory),
            mend="another folder",
        )


def _put_in_place(new: Path, directory: Path) -> None:
    """Move a complete folder to its place.

    Between the two moves the earlier folder exists as `.NAME.earlier`; nothing is
    removed before the new one is in place.
    """
    if not directory.is_dir():
        os.replace(new, directory)
        return
    earlier = directory.with_name(f".{directory.name}.earlier")
    if earlier.exists():
        shutil.rmtree(earlier)
    os.replace(directory, earlier)
    try:
        os.replace(new, directory)
    except OSError:
        os.replace(earlier, directory)
        raise
    shutil.rmtree(earlier)


def _keep_others(directory: Path, new: Path, replaced: tuple[str, ...]) -> None:
    """Copy into the new folder what the earlier one had and this save replaces not."""
    if not directory.is_dir():
        return
    for entry in directory.iterdir():
        if any(entry.match(pattern) for pattern in replaced):
            continue
        if entry.is_dir():
            shutil.copytree(entry, new / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, new / entry.name, follow_symlinks=False)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
