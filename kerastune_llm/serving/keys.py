"""API keys: who may ask a server."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SHORTEST_KEY = 16
# For load balancers, and for people who then type a key; nothing here is of the models.
OPEN_PATHS = frozenset(["/healthz", "/readyz", "/", "/page/page.css", "/page/page.js"])


def read_keys(file: Path) -> tuple[str, ...]:
    """The keys in a file, one a line; empty lines and lines after `#` do not count.

    Raises:
        UserError: The file cannot be read, or has no key or one that is too short.
    """
    try:
        lines = Path(file).expanduser().read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The file of API keys cannot be read: {error}", received=str(file)
        ) from error
    stripped = (line.strip() for line in lines)
    keys = tuple(key for key in stripped if key and not key.startswith("#"))
    short = sum(len(key) < SHORTEST_KEY for key in keys)
    if short or not keys:
        raise UserError(
            f"The file of API keys has {len(keys)} keys, {short} of them too short.",
            accepted=f"one key a line, {SHORTEST_KEY} characters or more",
            received=str(file),
            mend=f"openssl rand -hex 32 > {file}",
        )
    return keys


class KeyGuard:
    """ASGI middleware: lets a request through that carries one of the keys.

    It is expected as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.
    """

    def __init__(self, app: "ASGIApp", *, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        is_request = scope["type"] == "http" and scope["path"] not in OPEN_PATHS
        if not is_request or self._admits(dict(scope["headers"])):
            await self._app(scope, receive, send)
            return
        body = json.dumps({"error": "An API key is required"}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _admits(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        given = _digest(key)
        # All are compared, digests of one length: the time tells nothing.
        return sum(hmac.compare_digest(given, known) for known in self._digests) > 0


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
