"""What a server tells about itself: Prometheus metrics and an access log in JSON."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

access = logging.getLogger("kerastune_llm.access")

_BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_MODEL = ("model", "version")


class Metrics:
    """Counters of one server, in a registry of their own.

    `kerastune_request_seconds` by route, method and status, `kerastune_batch_rows` and
    `kerastune_queue_rows` by model and version.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "kerastune_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._batch = Histogram(
            "kerastune_batch_rows",
            "Rows that were answered in one batch.",
            _MODEL,
            buckets=_BATCH_ROWS,
            registry=self.registry,
        )
        self._queue = Gauge(
            "kerastune_queue_rows",
            "Rows that wait for their batch.",
            _MODEL,
            registry=self.registry,
        )

    def batch_observer(self, model: str, version: int) -> Callable[[int], None]:
        """What is told the rows of every batch of a model."""
        return self._batch.labels(model, version).observe

    def watch_queue(self, model: str, version: int, rows: Callable[[], int]) -> None:
        """Ask `rows` for the length of a model's queue whenever metrics are read."""
        self._queue.labels(model, version).set_function(rows)

    def forget(self, model: str, version: int) -> None:
        """Show a version that is no longer there no more."""
        self._batch.remove(model, version)
        self._queue.remove(model, version)

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)


class Watched:
    """ASGI middleware: every request in the metrics and in the access log."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # Paths as they come would be names without end.
        route = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if route != "none" else "any"
        self._metrics.seconds.labels(route, method, status).observe(seconds)
        access.info(json.dumps(_line(scope, status, seconds), ensure_ascii=False))


def log_requests() -> None:
    """Write the access log to standard output, one JSON object a line."""
    access.addHandler(logging.StreamHandler(sys.stdout))
    access.setLevel(logging.INFO)
    access.propagate = False


def _line(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    client = scope.get("client")
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "seconds": round(seconds, 6),
        "rows": scope.get("state", {}).get("rows"),
    }
