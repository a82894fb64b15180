"""Data files at an address such as `gs://bucket/rows.jsonl`, kept in the cache."""

import hashlib
import logging
import uuid
from pathlib import Path

from kerastune_llm.remote import Remote, cache_folder, check_slashes, is_remote
from kerastune_llm.remote_errors import without_secrets

logger = logging.getLogger(__name__)


def local_file(place: str | Path) -> Path:
    """The path of a data file; one at an address is downloaded first.

    It is downloaded once, and again when its content changes: the cache has a folder
    for each address and each content, of which the remote tells without sending it.

    Raises:
        RemoteRefused: There is none, or the address cannot be used.
        RemoteAway: It cannot be reached.
    """
    check_slashes(place)
    if not is_remote(place):
        return Path(place)
    remote = Remote(place)
    found = remote.info()
    # Without a mark nobody knows whether the content is still the same.
    mark = found.mark or uuid.uuid4().hex
    digest = hashlib.sha256(f"{remote.address} {mark}".encode()).hexdigest()[:16]
    name = remote.address.partition("?")[0].rpartition("/")[2]
    file = cache_folder() / "files" / digest / name
    if not file.exists():
        remote.download("", file)
        size = file.stat().st_size / 1e6
        shown = without_secrets(remote.address)
        logger.info("%s (%.1f MB) downloaded to %s", shown, size, file)
    return file
