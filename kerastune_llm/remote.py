"""Files that are not on this machine: on a bucket, or anywhere fsspec reaches."""

import base64
import contextlib
import hashlib
import logging
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kerastune_llm.errors import nearest
from kerastune_llm.remote_errors import (
    RemoteRefused,
    TransferBroken,
    has_password,
    patiently,
    without_secrets,
)

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
# Where a file appears whole under its name or not at all; elsewhere it is moved there.
_OBJECT_STORES = frozenset(
    {"gs", "gcs", "s3", "s3a", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"}
)
# What tells one content of a file from another, the surest first, by protocol.
_MARKS = (
    "generation",
    "etag",
    "ETag",
    "md5Hash",
    "Content-MD5",
    "Digest",
    "mtime",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "created",
)
_EXTRAS = {"gs": "gcs", "gcs": "gcs"}
# An address of a store that lacks a slash, or both: it would be a folder named "gs:".
_LACKS_SLASHES = re.compile(rf"({'|'.join(sorted(_OBJECT_STORES))}):/?(?=[^/:])")


def is_remote(place: str | Path) -> bool:
    """Whether a place is an address such as `gs://bucket/run`.

    >>> is_remote("gs://bucket/run"), is_remote("runs/a"), is_remote(Path("runs/a"))
    (True, False, False)
    """
    return isinstance(place, str) and bool(_ADDRESS.match(place))


def check_slashes(place: str | Path) -> None:
    """Refuse an address whose slashes were lost on the way.

    Raises:
        RemoteRefused: It is one such as `gs:/bucket/run`.
    """
    found = _LACKS_SLASHES.match(str(place))
    if found and not is_remote(place):
        raise RemoteRefused(
            f"An address begins with {found[1]}://, two slashes.",
            received=str(place),
            mend=f"{found[1]}://{str(place)[found.end() :]}",
        )


def as_place(place: str | Path) -> Path | str:
    """A path of this machine as a `Path`, an address as the text it is.

    `Path` would make `gs:/bucket/run` of `gs://bucket/run`.
    """
    return place if is_remote(place) else Path(place)


def here(place: str | Path) -> Path:
    """A place on this machine as a path.

    Raises:
        RemoteRefused: It is elsewhere, or was meant to be.
    """
    if is_remote(place):
        raise RemoteRefused(
            "This one is a place on this machine only: of what is written, run "
            "directories alone may be elsewhere.",
            received=without_secrets(place),
            mend="a path here, to be copied there by the bucket's own tools",
        )
    check_slashes(place)
    return Path(place)


def cache_folder() -> Path:
    """`$KERASTUNE_CACHE`, or `~/.cache/kerastune`."""
    folder = os.environ.get("KERASTUNE_CACHE") or "~/.cache/kerastune"
    return Path(folder).expanduser()


@dataclass(frozen=True)
class RemoteFile:
    """What is known of a file without reading it.

    Args:
        size: In bytes, where the remote says.
        mark: Changes with the content; `None` where the remote has no such thing.
    """

    size: int | None
    mark: str | None


class Remote:
    """A file, or a folder with all that is below it, at an address.

    Dropped connections are waited for; see `patiently`, which says what is raised.

    Args:
        address: As the user wrote it.

    Raises:
        RemoteRefused: No such protocol, its package is not installed, or the address
            has a password in it.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        protocol = _ADDRESS.match(address)[0].rstrip(":/")
        self._fs, self._root = _opened(self.address, protocol)
        self._root = self._root.rstrip("/")
        self._is_atomic = protocol in _OBJECT_STORES

    def info(self) -> RemoteFile:
        """What is known of the file at the address itself."""
        found = patiently(self.address, lambda: self._info(self._root))
        if found.get("type") == "directory":
            raise RemoteRefused(
                "A folder was given for a data file.",
                received=without_secrets(self.address),
                mend="the address of one file, such as rows as jsonl or parquet",
            )
        return _described(found)

    def list(self) -> dict[str, RemoteFile]:
        """All files below the address by their name from there."""
        found = patiently(self.address, self._find)
        prefix = len(self._root) + 1
        names = {path[prefix:]: _described(info) for path, info in found.items()}
        return {name: file for name, file in names.items() if _is_whole_name(name)}

    def download(self, name: str, to: Path) -> None:
        """Write a file to `to`, where it is whole or not there; `""`: the address's."""
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}")
        try:
            patiently(self.address, lambda: self._get(self._path(name), part))
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def upload(self, file: Path, name: str) -> RemoteFile:
        """Put a file there, in an earlier one's place, and see that it is whole."""
        return patiently(self.address, lambda: self._put(file, self._path(name)))

    def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""
        patiently(self.address, lambda: self._remove(self._path(name)))

    def check_writable(self) -> None:
        """Write a small file and remove it.

        Raises:
            RemoteRefused: It cannot be written.
        """
        path = self._path(f".{uuid.uuid4().hex}")
        if not self._is_atomic:
            self._make_parents(path)
        patiently(self.address, lambda: self._fs.pipe_file(path, b"kerastune"))
        patiently(self.address, lambda: self._remove(path))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _info(self, path: str) -> Mapping[str, Any]:
        self._fs.invalidate_cache()
        return self._fs.info(path)

    def _find(self) -> Mapping[str, Mapping[str, Any]]:
        self._fs.invalidate_cache()
        return self._fs.find(self._root, detail=True)

    def _get(self, path: str, to: Path) -> None:
        info = self._info(path)
        self._fs.get_file(path, str(to))
        _check_whole(info, to)

    def _put(self, file: Path, path: str) -> RemoteFile:
        if self._is_atomic:
            self._fs.put_file(str(file), path)
        else:
            folder, _, name = path.rpartition("/")
            part = f"{folder}/.{name}.part"
            self._make_parents(path)
            self._fs.put_file(str(file), part)
            self._fs.mv(part, path)
        info = self._info(path)
        _check_whole(info, file)
        return _described(info)

    def _make_parents(self, path: str) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)


def _opened(address: str, protocol: str) -> tuple[Any, str]:
    # Here, for it takes a while and local files need none of it.
    import fsspec
    from fsspec.registry import known_implementations

    if has_password(address):
        raise RemoteRefused(
            "An address with a password would be written into config.json.",
            received=without_secrets(address),
            mend="the password in the protocol's own place, such as ~/.config/fsspec",
        )
    # They log every error that they raise as well, with its traceback.
    for name in ("gcsfs", "google.auth"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        alike = nearest(protocol, known_implementations)
        raise RemoteRefused(
            "There is no such kind of address.",
            accepted=", ".join(f"{name}://" for name in alike or ("gs", "s3", "file")),
            received=without_secrets(address),
        ) from None
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        extra = _EXTRAS.get(protocol)
        name = f'"kerastune_llm[{extra}]"' if extra else package
        raise RemoteRefused(
            f"{protocol}:// needs the package {package}, which is not installed.",
            received=without_secrets(address),
            mend=f"pip install {name}",
        ) from error
    try:
        return fsspec.core.url_to_fs(address)
    except ValueError as error:
        raise RemoteRefused(
            f"This address cannot be used ({error}).", received=without_secrets(address)
        ) from error


def _described(info: Mapping[str, Any]) -> RemoteFile:
    size = info.get("size")
    for key in _MARKS:
        if info.get(key) is not None:
            # A listing may have a number where the file's own info has a time.
            value = info[key]
            shown = value.timestamp() if isinstance(value, datetime) else value
            return RemoteFile(size, f"{key} {shown}, {size} bytes")
    return RemoteFile(size, None)


def _is_whole_name(name: str) -> bool:
    """Whether a name is that of a file, not of one on its way or of a folder's mark."""
    return bool(name) and not any(part.startswith(".") for part in name.split("/"))


def _check_whole(info: Mapping[str, Any], file: Path) -> None:
    """Compare a file with what the remote says of it.

    Raises:
        TransferBroken: They differ.
    """
    size = file.stat().st_size
    if info.get("size") not in (None, size):
        raise TransferBroken(f"{info['size']} bytes there, {size} here")
    if info.get("md5Hash"):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "md5").digest()
        if base64.b64encode(digest).decode() != info["md5Hash"]:
            raise TransferBroken("other content there than here")
