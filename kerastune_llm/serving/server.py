"""uvicorn, with a socket that is opened first and signals that drain."""

import math
import signal
import socket
import ssl
from typing import TYPE_CHECKING

from kerastune_llm.errors import UserError
from kerastune_llm.serving.settings import Listening

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def check_tls(listening: Listening) -> None:
    """Check that the TLS files belong together.

    Raises:
        UserError: One is missing, cannot be read, or is not the other's.
    """
    if (listening.certificate is None) != (listening.key is None):
        raise UserError("TLS needs both files.", accepted="--tls-cert and --tls-key")
    if listening.certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(listening.certificate, listening.key)
    except OSError as error:
        raise UserError(
            f"The TLS files cannot be used: {error}",
            accepted="a certificate and its key, both in PEM form",
            received=f"{listening.certificate}, {listening.key}",
        ) from error


def open_socket(listening: Listening) -> socket.socket:
    """The socket of a server.

    Raises:
        UserError: The address is not this machine's, or the port is taken.
    """
    if not 0 <= listening.port < 2**16:
        raise UserError("There is no such port.", received=listening.port)
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    try:
        return socket.create_server((listening.host, listening.port), family=family)
    except OSError as error:
        raise UserError(
            f"The server cannot listen here: {error}",
            received=f"{listening.host}, port {listening.port}",
            mend="another --port; 0 takes a free one",
        ) from error


def run_server(
    app: "ASGIApp",
    listening: Listening,
    opened: socket.socket,
    *,
    drain_seconds: float,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted by then is answered.

    Args:
        app: The application.
        listening: Where, with its TLS files.
        opened: The socket.
        drain_seconds: Longest time for answering what was accepted.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
        timeout_graceful_shutdown=math.ceil(drain_seconds) + 1,
    )
    # uvicorn raises a signal again when it has drained; whether Ctrl-C comes out of it
    # depends on the event loop. SIGTERM is then no failure.
    received: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(x, lambda number, _: received.append(number)) for x in stops
    ]
    try:
        uvicorn.Server(config).run(sockets=[opened])
    finally:
        for number, handler in zip(stops, before, strict=True):
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
