"""Token columns kept on disk under a key made from all that they depend on.

An entry is a folder `<key>` with the dataset's own files and `entry.json`: facts about
it, and the digest of each file. It is written beside its place and renamed into it, so
an entry is whole or absent; one that was damaged later is found by its digests.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

logger = logging.getLogger(__name__)

ENTRY = "entry.json"


def read_entry(
    folder: Path, key: str
) -> tuple[datasets.Dataset, dict[str, Any]] | None:
    """The dataset and its facts; `None` when there is none, or a damaged one."""
    place = folder / key
    if not place.is_dir():
        return None
    try:
        entry = json.loads((place / ENTRY).read_text(encoding="utf-8"))
        whole = entry["files"] == _digests(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the cached tokens in %s cannot be read: %s", place, error)
        return None
    if not whole:
        logger.warning("the cached tokens in %s are damaged: made anew", place)
        return None
    return datasets.load_from_disk(str(place)), entry["facts"]


def write_entry(
    folder: Path, key: str, dataset: datasets.Dataset, facts: Mapping[str, Any]
) -> datasets.Dataset:
    """Write an entry and return its dataset as read from the disk."""
    place = folder / key
    with tempfile.TemporaryDirectory(prefix=f".{key}-", dir=folder) as temporary:
        new = Path(temporary) / "new"
        with _no_progress_bar():
            dataset.save_to_disk(str(new), max_shard_size="1GB")
        entry = {"facts": dict(facts), "files": _digests(new)}
        (new / ENTRY).write_text(json.dumps(entry, indent=2), encoding="utf-8")
        if place.exists():
            # Renamed first: another process may be reading the damaged entry's files.
            place.rename(Path(temporary) / "old")
        try:
            new.rename(place)
        except OSError:
            # Another process has put the same entry there in the meantime.
            if not place.is_dir():
                raise
    return datasets.load_from_disk(str(place))


def _digests(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.iterdir() if path.name != ENTRY)
    return {path.name: _digest(path) for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Writing is a matter of seconds: a second bar would only be noise."""
    was_disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not was_disabled:
            datasets.enable_progress_bars()
