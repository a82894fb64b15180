"""Versions that come and go in a server's folder while it answers."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from kerastune_llm.errors import UserError
from kerastune_llm.serving.hosting import Host
from kerastune_llm.serving.saved_models import (
    check_files,
    load_version,
    version_folders,
)

logger = logging.getLogger(__name__)

# Path, size and time of change of every file of a version.
_Stamp = tuple[tuple[str, int, int], ...]


class Watcher:
    """Takes versions that are new into a host, and drops those that are gone.

    What is new comes first, so that a model always has a version. A version is its
    number: files that change under a number that is served are not looked at.

    Args:
        folder: Holds `<name>/<version>/`.
        host: Serves what was there at the start.
    """

    def __init__(self, folder: Path, host: Host) -> None:
        self._folder = Path(folder).expanduser()
        self._host = host
        self._refused: dict[Path, _Stamp] = {}

    def look(self) -> None:
        """Look at the folder once."""
        places = {(p.parent.name, int(p.name)): p for p in self._places()}
        served = {(model.name, model.version) for model in self._host.models()}
        for key, place in places.items():
            if key not in served:
                self._take(place)
        for name, version in served - set(places):
            logger.info("version %d of %s is gone, and is dropped", version, name)
            self._host.remove(name, version)

    def _places(self) -> list[Path]:
        if not self._folder.is_dir():
            raise FileNotFoundError(f"{self._folder} is not there")
        return version_folders(self._folder)

    def _take(self, place: Path) -> None:
        """Load a version; one that is refused is tried again when its files change."""
        stamp = _stamp(place)
        if self._refused.get(place) == stamp:
            return
        try:
            check_files(place)
            model = load_version(place)
            self._host.add(model)
        except Exception as error:  # whatever it is, the other versions go on
            self._refused[place] = stamp
            message = str(error) if isinstance(error, UserError) else repr(error)
            logger.warning("a new version is not served: %s", message)
            return
        self._refused.pop(place, None)
        logger.info("version %d of %s is served", model.version, model.name)


@contextlib.contextmanager
def watching(folder: Path, host: Host, seconds: float) -> Iterator[None]:
    """Look at a folder every so many seconds, in a thread; 0: never."""
    if not seconds:
        yield
        return
    watcher, over = Watcher(folder, host), threading.Event()

    def work() -> None:
        while not over.wait(seconds):
            try:
                watcher.look()
            except OSError as error:
                logger.warning("the folder cannot be looked at: %s", error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _stamp(place: Path) -> _Stamp:
    stats = ((str(path), path.stat()) for path in sorted(place.rglob("*")))
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
