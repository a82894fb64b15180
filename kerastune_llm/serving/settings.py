"""How a server is set up: plain values, known before TensorFlow is loaded."""

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """Where a server listens.

    Args:
        host: An address of this machine.
        port: A port; 0 takes a free one.
        certificate: For TLS, a file in PEM form; with `key` or not at all.
        key: The certificate's key, in PEM form.
    """

    host: str = LOOPBACK
    port: int = 8501
    certificate: Path | None = None
    key: Path | None = None

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.certificate else "http"


@dataclass(frozen=True)
class Batching:
    """How requests are queued and put together.

    Args:
        max_batch: Most rows of a batch.
        timeout_ms: How long a batch waits for more rows, in milliseconds.
        max_queue: Most rows that wait for one version of a model.
    """

    max_batch: int = 32
    timeout_ms: float = 2.0
    max_queue: int = 1024


@dataclass(frozen=True)
class Limits:
    """What a single request may cost.

    Args:
        max_body_bytes: Longest body.
        deadline_seconds: Longest time for reading a body, and for answering it.
    """

    max_body_bytes: int = 8 * 2**20
    deadline_seconds: float = 30.0
