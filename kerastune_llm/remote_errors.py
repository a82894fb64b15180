"""What a remote's errors mean: it refuses, or the connection dropped and is waited for.

fsspec's protocols raise errors of many packages, which need not be installed; they are
told by what they have in common: an HTTP code, a name, an errno.
"""

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from kerastune_llm.errors import NO_ROOM, JobFailed, UserError

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# How long a remote may stay away before it is given up, and between two tries; seconds.
PATIENCE = 120.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

LOG_IN = {
    "gs": "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS="
    "KEY.json, with the right to read and write objects",
    "s3": "`aws configure`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with the "
    "right to read and write objects",
}
_NO_CREDENTIALS = ("DefaultCredentialsError", "RefreshError", "NoCredentialsError")
# What a file system says for good; a network's errnos are waited out.
_LASTING = (errno.EROFS, errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTSUP)
# Names of what aiohttp, requests, google and botocore raise where a connection fails.
_DROPPED = re.compile(
    r"Client\w*Error|Timeout|Connection|Disconnected|Payload|Checksum|SSL"
)
_WAIT_CODES = (408, 429, *range(500, 600))
_SECRET = re.compile(r"(?i)((?:key|token|signature|password|secret)\w*=)[^&\s]+")
_PASSWORD = re.compile(r"://[^/@:\s]*:[^/@\s]+@")


class RemoteRefused(UserError):
    """A remote is there, and will not do what was asked; or it is no remote."""


class RemoteAway(JobFailed):
    """A remote could not be reached, for longer than anyone would wait."""


class TransferBroken(ConnectionError):
    """What arrived is not what was sent."""


def patiently(address: str, action: Callable[[], Answer]) -> Answer:
    """What `action` gives; where the connection drops, it is tried again.

    The pauses double, each by chance up to half as long again, so that many machines do
    not come back at the same moment.

    Args:
        address: Of the remote, for messages.
        action: Safe to do twice.

    Raises:
        RemoteRefused: It is no matter of the connection.
        RemoteAway: The connection stayed away for `PATIENCE` seconds.
    """
    deadline, pause = time.monotonic() + PATIENCE, FIRST_PAUSE
    while True:
        try:
            return action()
        except Exception as error:  # of any package; what is not known is raised again
            refusal = _refusal(error, address)
            if refusal is not None:
                raise refusal from error
            if not _is_drop(error):
                raise
            if time.monotonic() > deadline:
                raise RemoteAway(
                    f"{without_secrets(address)} cannot be reached ({_reason(error)})."
                ) from error
            logger.warning(
                "%s: %s; trying again", without_secrets(address), _reason(error)
            )
        time.sleep(pause * random.uniform(1, 1.5))
        pause = min(2 * pause, LONGEST_PAUSE)


def has_password(address: str) -> bool:
    """Whether an address has a password in it; `abfs://folder@account` has none."""
    return bool(_PASSWORD.search(address))


def without_secrets(text: str) -> str:
    """Text with what looks like a credential in an address left out.

    >>> without_secrets("https://host/rows.jsonl?Signature=abc&x=1")
    'https://host/rows.jsonl?Signature=...&x=1'
    >>> without_secrets("sftp://me:word@host/run")
    'sftp://...@host/run'
    """
    return _PASSWORD.sub("://...@", _SECRET.sub(r"\1...", text))


def _refusal(error: Exception, address: str) -> RemoteRefused | None:
    """What the user is told of an error that waiting does not mend."""
    code, text = _code(error), str(error)
    protocol = address.partition(":")[0]
    mend = None
    if (
        isinstance(error, UserError | JobFailed)
        or getattr(error, "errno", 0) in NO_ROOM
    ):
        return None
    if code == 401 or type(error).__name__ in _NO_CREDENTIALS:
        what = "There are no valid credentials for this address"
        mend = LOG_IN.get({"gcs": "gs"}.get(protocol, protocol))
    elif code == 403 or isinstance(error, PermissionError) or "Forbidden" in text:
        what = "The credentials do not allow this"
        mend = LOG_IN.get({"gcs": "gs"}.get(protocol, protocol))
    elif isinstance(error, FileNotFoundError) or code == 404:
        what, mend = "There is no such bucket or file", "see that it is spelt right"
    elif (
        isinstance(
            error,
            FileExistsError
            | IsADirectoryError
            | NotADirectoryError
            | NotImplementedError
            | ValueError,
        )
        or (code is not None and 400 <= code < 500 and code not in _WAIT_CODES)
        or getattr(error, "errno", None) in _LASTING
    ):
        what = "This address cannot be used"
    else:
        return None
    return RemoteRefused(
        f"{what} ({_reason(error)}).", received=without_secrets(address), mend=mend
    )


def _is_drop(error: Exception) -> bool:
    if _code(error) in _WAIT_CODES or isinstance(error, OSError):
        return getattr(error, "errno", None) not in NO_ROOM
    return bool(_DROPPED.search(type(error).__name__))


def _code(error: Exception) -> int | None:
    """The HTTP code an error carries: gcsfs' `code`, aiohttp's `status`."""
    for name in ("code", "status"):
        value = getattr(error, name, None)
        if str(value).isdecimal():
            return int(str(value))
    return None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = " ".join(line.strip() for line in lines[:2])
    if _code(error) is not None:
        # gcsfs ends its message with it, or has no other.
        text = f"HTTP {_code(error)} {text.removesuffix(f', {_code(error)}')}".strip()
    return without_secrets(text[:200]) or type(error).__name__
