"""The working copy of a folder that is elsewhere, and keeping the two the same.

All work is done on the copy, in a folder of the cache that belongs to the address. A
ledger beside it says what each file was when it was last the same on both sides. By it
the remote is left as it is where nothing changed; by it a machine knows whether the
remote is as it left it. If it is not, another machine went on, and what the remote has
is what counts.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from kerastune_llm.atomic import write_json
from kerastune_llm.locks import alone
from kerastune_llm.remote import Remote, cache_folder
from kerastune_llm.remote_errors import RemoteRefused

logger = logging.getLogger(__name__)

Stamp = tuple[int, int]
_BUCKET = re.compile(r"(gs|gcs|s3|s3a)://[^/]*")


@dataclass(frozen=True)
class Entry:
    """A file of the remote.

    Args:
        size: In bytes.
        mark: What the remote tells its content by.
        stamp: Size and time of the copy when it was the same; `None` where there is
            none.
    """

    size: int | None
    mark: str | None
    stamp: Stamp | None = None


Ledger = dict[str, Entry]


class Mirror:
    """A folder at an address, and its working copy.

    Args:
        address: Of the folder.
        order: Sorts names into the order in which files must come to be there.
        last: Whether a file tells that all others are there: it is the first to go.
        unit: The folder that a file belongs to, if it is of use only as a whole, such
            as a checkpoint's; it is gone from the remote once it is from the copy.
    """

    def __init__(
        self,
        address: str,
        *,
        order: Callable[[str], tuple],
        last: Callable[[str], bool],
        unit: Callable[[str], str | None],
    ) -> None:
        self.address = address.rstrip("/")
        self._order, self._last, self._unit = order, last, unit
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        place = cache_folder() / "runs" / digest
        #: The working copy.
        self.copy = place / (self.address.rpartition("/")[2] or "run")
        self._ledger_file, self._lock = place / "ledger.json", place / "lock"

    @cached_property
    def _remote(self) -> Remote:
        if _BUCKET.fullmatch(self.address):
            raise RemoteRefused(
                "A whole bucket was given for a run directory.",
                received=self.address,
                mend=f"a folder in it: {self.address}/runs/NAME",
            )
        return Remote(self.address)

    def holds(self, name: str) -> bool:
        """Whether the remote has a file of this name."""
        return name in self._remote.list()

    def forget(self) -> None:
        """Empty the copy, and know of nothing that is there."""
        with alone(self._lock):
            shutil.rmtree(self.copy, ignore_errors=True)
            self._write_ledger({})

    def refresh(self, wanted: Callable[[str], bool]) -> None:
        """Make the copy what the remote is, as far as its files are wanted.

        The others' folders are there all the same. Where the remote is as this machine
        left it, files of the copy that are not sent yet stay.

        Args:
            wanted: Whether a file of this name is.
        """
        with alone(self._lock):
            files, ledger = self._remote.list(), self._read_ledger()
            if not self._ledger_file.exists():
                shutil.rmtree(self.copy, ignore_errors=True)  # of unknown origin
            before = {name: entry.mark for name, entry in ledger.items()}
            is_ours = before == {name: file.mark for name, file in files.items()}
            if not is_ours:
                ledger = self._forget_changes(ledger)
            known = {
                name: ledger[name]
                if name in ledger and ledger[name].mark == file.mark
                else Entry(file.size, file.mark)
                for name, file in files.items()
            }
            for name in ledger.keys() - known.keys():
                (self.copy / name).unlink(missing_ok=True)
            if not is_ours:
                self._remove_empty_folders()
            for name in known:
                (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
            self._write_ledger(known)
            self._download(known, [name for name in known if wanted(name)])

    def fetch(self, folder: Path) -> None:
        """Download what is missing in a folder of the copy."""
        prefix = folder.relative_to(self.copy).as_posix() + "/"
        with alone(self._lock):
            ledger = self._read_ledger()
            self._download(ledger, [name for name in ledger if name.startswith(prefix)])

    def check_writable(self) -> None:
        """See that files can be written there."""
        self._remote.check_writable()

    def publish(self) -> int:
        """Bring what changed in the copy to the remote, in order; the number of files.

        A kill at any moment leaves there what a run can go on from: a file comes after
        those it needs, and nothing goes before what takes its place is there.
        """
        with alone(self._lock):
            ledger, sent = self._read_ledger(), 0
            gone = list(self._gone(ledger))
            self._remove(ledger, [name for name in gone if self._last(name)])
            for name in sorted(self._changed(ledger), key=self._order):
                file = self.copy / name
                stamp = _stamp(file)  # before: what is written meanwhile is sent again
                put = self._remote.upload(file, name)
                ledger[name] = Entry(put.size, put.mark, stamp)
                self._write_ledger(ledger)
                sent += 1
            self._remove(ledger, [name for name in gone if not self._last(name)])
        return sent

    def size(self, folder: Path) -> int:
        """Bytes of a folder's files, wherever they are."""
        prefix = folder.relative_to(self.copy).as_posix() + "/"
        entries = self._read_ledger().items()
        return sum(x.size or 0 for name, x in entries if name.startswith(prefix))

    def _changed(self, ledger: Mapping[str, Entry]) -> Iterator[str]:
        for file in self._files():
            name = file.relative_to(self.copy).as_posix()
            if name not in ledger or ledger[name].stamp != _stamp(file):
                yield name

    def _files(self) -> Iterator[Path]:
        """Files of the copy, but for those in the making."""
        for file in self.copy.rglob("*"):
            parts = file.relative_to(self.copy).parts
            if file.is_file() and not any(part.startswith(".") for part in parts):
                yield file

    def _gone(self, ledger: Mapping[str, Entry]) -> Iterator[str]:
        """What the remote has of files that were in the copy and are no more."""
        for name, entry in ledger.items():
            unit = self._unit(name)
            was_here = entry.stamp is not None and not (self.copy / name).exists()
            if was_here or (unit and not (self.copy / unit).is_dir()):
                yield name

    def _remove(self, ledger: Ledger, names: list[str]) -> None:
        for name in sorted(names, key=self._order, reverse=True):
            self._remote.remove(name)
            del ledger[name]
            self._write_ledger(ledger)

    def _download(self, ledger: Ledger, names: list[str]) -> None:
        missing = [name for name in names if self._is_missing(ledger[name], name)]
        for name in missing:
            file = self.copy / name
            self._remote.download(name, file)
            ledger[name] = Entry(ledger[name].size, ledger[name].mark, _stamp(file))
            self._write_ledger(ledger)
        if missing:
            size = sum(ledger[name].size or 0 for name in missing)
            logger.info(
                "%d files (%.1f MB) downloaded from %s to %s",
                len(missing),
                size / 1e6,
                self.address,
                self.copy,
            )

    def _is_missing(self, entry: Entry, name: str) -> bool:
        return entry.stamp is None or not (self.copy / name).exists()

    def _forget_changes(self, ledger: Ledger) -> Ledger:
        """Remove from the copy what the remote did not have when they were the same."""
        unsent = list(self._changed(ledger))
        for name in unsent:
            (self.copy / name).unlink()
            ledger.pop(name, None)
        if unsent:
            logger.warning(
                "%s is not as this machine last knew it: another one went on, or this "
                "one was stopped while it sent. %d files of its own are dropped from "
                "%s, and what is there counts.",
                self.address,
                len(unsent),
                self.copy,
            )
        return ledger

    def _remove_empty_folders(self) -> None:
        for folder in sorted(self.copy.rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _read_ledger(self) -> Ledger:
        try:
            text = self._ledger_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return {
            name: Entry(size, mark, tuple(stamp) if stamp else None)
            for name, (size, mark, stamp) in json.loads(text).items()
        }

    def _write_ledger(self, ledger: Mapping[str, Entry]) -> None:
        values = {name: list(asdict(entry).values()) for name, entry in ledger.items()}
        write_json(self._ledger_file, values)


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_size, found.st_mtime_ns
