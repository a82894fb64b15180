"""Dynamic batching: what several clients ask at a time is answered in one batch."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from kerastune_llm.serving.rest import Columns, ModelRequest, Rows

Run = Callable[[str, Columns], Rows]


class QueueFull(Exception):
    """More rows are waiting than may."""


class QueueClosed(Exception):
    """Nothing new is taken."""


@dataclass
class _Part:
    """Rows of one request that go into one batch; `group` is None when alone."""

    signature: str
    columns: Columns
    group: str | None
    rows: int
    arrived: float = field(default_factory=time.monotonic)
    answer: Future = field(default_factory=Future)


class Batcher:
    """A queue of requests, and a thread that answers them in batches.

    Args:
        run: Answers columns for a signature; called by one thread.
        max_batch: Most rows of a batch. A longer request is answered in several.
        batch_timeout_ms: How long a batch waits for more rows, in milliseconds.
        max_queue: Most rows that wait.
        on_batch: Told the rows of every batch.

    A part whose future is cancelled before its turn is left out.
    """

    def __init__(
        self,
        run: Run,
        *,
        max_batch: int,
        batch_timeout_ms: float,
        max_queue: int,
        on_batch: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._patience = batch_timeout_ms / 1000
        self._max_queue = max_queue
        self._on_batch = on_batch
        self._waiting: deque[_Part] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def waiting_rows(self) -> int:
        """Rows that wait for their batch."""
        with self._changed:
            return self._rows()

    def submit(self, request: ModelRequest, *, together: bool) -> list[Future]:
        """Queue a request; each future gives the answer to the next of its rows.

        Args:
            request: What is asked.
            together: Whether it may share a batch with others and be cut; else it is
                answered by itself in one piece.

        Raises:
            QueueFull: There is no room for it.
            QueueClosed: The batcher is closed.
        """
        parts = self._parts(request, together=together)
        with self._changed:
            if self._closed:
                raise QueueClosed
            if self._rows() + request.rows > self._max_queue:
                self._drop_cancelled()
            if self._rows() + request.rows > self._max_queue:
                raise QueueFull
            self._waiting.extend(parts)
            self._changed.notify()
        return [part.answer for part in parts]

    def close(self) -> None:
        """Answer what is waiting, take nothing new, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _parts(self, request: ModelRequest, *, together: bool) -> list[_Part]:
        name, columns = request.signature, request.columns
        if not together:
            return [_Part(name, columns, None, request.rows)]
        parts = []
        for start in range(0, request.rows, self._max_batch):
            cut = {
                key: column[start : start + self._max_batch]
                for key, column in columns.items()
            }
            rows = len(next(iter(cut.values())))
            parts.append(_Part(name, cut, name, rows))
        return parts

    def _rows(self) -> int:
        return sum(part.rows for part in self._waiting)

    def _drop_cancelled(self) -> None:
        self._waiting = deque(
            part for part in self._waiting if not part.answer.cancelled()
        )

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            # From here on a future can no longer be cancelled.
            batch = [p for p in batch if p.answer.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)

    def _next(self) -> list[_Part] | None:
        """The parts of the next batch; `None` when closed and all is answered."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            if self._waiting[0].group is not None:
                until = self._waiting[0].arrived + self._patience
                self._changed.wait_for(
                    lambda: self._closed or self._rows() >= self._max_batch,
                    timeout=max(0.0, until - time.monotonic()),
                )
            return self._take()

    def _take(self) -> list[_Part]:
        """The first part, and those of its group that fit beside it."""
        if not self._waiting:
            return []
        first = self._waiting.popleft()
        taken, left, rows = [first], deque(), first.rows
        for part in self._waiting:
            alike = first.group is not None and part.group == first.group
            if alike and rows + part.rows <= self._max_batch:
                taken.append(part)
                rows += part.rows
            else:
                left.append(part)
        self._waiting = left
        return taken

    def _answer(self, batch: list[_Part]) -> None:
        try:
            columns = {
                name: np.concatenate([part.columns[name] for part in batch])
                for name in batch[0].columns
            }
            self._on_batch(sum(part.rows for part in batch))
            answers = self._run(batch[0].signature, columns)
        except Exception as error:  # whatever it is, those who wait must be told
            for part in batch:
                part.answer.set_exception(error)
            return
        start = 0
        for part in batch:
            end = start + part.rows
            part.answer.set_result({k: rows[start:end] for k, rows in answers.items()})
            start = end
