"""Lock files between processes; the system lets go of them however a process ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in here, and keep the others out."""
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def sharing(path: Path) -> Iterator[None]:
    """Keep a file claimed that another process has claimed, in case that one dies."""
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def claim(path: Path) -> TextIO | None:
    """Claim a file until the answer is closed; `None` where it is claimed.

    Call it in `alone`: for a moment the file is nobody's.
    """
    file = _opened(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    # Lets the process that does the work hold it, too.
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w")
