"""The models of a server, each version with a queue of its own."""

import gc
import logging
import re
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerastune_llm.serving.batching import Batcher, QueueFull
from kerastune_llm.serving.rest import DEFAULT, ModelRequest, RequestError
from kerastune_llm.serving.settings import Batching

if TYPE_CHECKING:
    from kerastune_llm.serving.saved_models import SavedVersion
    from kerastune_llm.serving.telemetry import Metrics

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Hosted:
    """A version of a model and its queue."""

    model: "SavedVersion"
    batcher: Batcher
    max_queue: int

    def submit(self, request: ModelRequest) -> list[Future]:
        """Queue a request; its rows come in order from the futures.

        Raises:
            RequestError: 413 when it could never be taken, 503 when it cannot now.
            QueueClosed: The version was dropped meanwhile.
        """
        if request.rows > self.max_queue:
            raise RequestError(
                413, f"{request.rows} rows; a request may have {self.max_queue}"
            )
        together = self.model.may_share(request.signature)
        try:
            return self.batcher.submit(request, together=together)
        except QueueFull as error:
            raise RequestError(
                503, "Too many requests wait", retry_after=RETRY_AFTER_SECONDS
            ) from error


class Host:
    """All models of a server; versions come and go while it answers.

    Args:
        models: What was loaded.
        batching: How requests are queued and put together.
        metrics: Is told every batch, and asks for the queues' lengths.
    """

    def __init__(
        self,
        models: Iterable["SavedVersion"],
        batching: Batching,
        metrics: "Metrics",
    ) -> None:
        self._batching = batching
        self._metrics = metrics
        self._problem = "The models are warming up"
        # Replaced whole and never changed: who reads it needs no lock.
        self._models: dict[str, dict[int, Hosted]] = {}
        self._changing = threading.Lock()
        for model in models:
            self._put(model)

    def models(self) -> list["SavedVersion"]:
        """Every version of every model."""
        return [hosted.model for hosted in self._all()]

    def add(self, model: "SavedVersion") -> None:
        """Take a version that is new; nobody is sent to it before it is warm."""
        self._warm(model)
        self._put(model)

    def remove(self, name: str, version: int) -> None:
        """Drop a version when the requests that it has are answered."""
        with self._changing:
            models = {key: dict(versions) for key, versions in self._models.items()}
            hosted = models[name].pop(version)
            self._models = {key: kept for key, kept in models.items() if kept}
        hosted.batcher.close()
        self._metrics.forget(name, version)
        del hosted
        gc.collect()  # a loaded model refers to itself in circles

    def find(self, name: str, version: str | None) -> Hosted:
        """The version that is asked for, else the highest; a RequestError with 404."""
        versions = self._models.get(name, {})
        number = _number(version) if version is not None else max(versions, default=0)
        if number not in versions:
            asked = (
                f"Latest({name})" if version is None else f"Specific({name}, {version})"
            )
            raise RequestError(404, f"Servable not found for request: {asked}")
        return versions[number]

    def versions(self, name: str, version: str | None) -> list[Hosted]:
        """One version or, highest first, all of a model; a RequestError with 404."""
        if name not in self._models:
            raise RequestError(404, f"Could not find any versions of model {name}")
        versions = self._models[name]
        if version is None:
            return [versions[number] for number in sorted(versions, reverse=True)]
        if _number(version) not in versions:
            raise RequestError(404, f"Could not find version {version} of model {name}")
        return [versions[_number(version)]]

    def not_ready(self) -> str:
        """Why requests should not be sent yet; empty when they may be."""
        return self._problem

    def warm_up(self) -> None:
        """Ask each model its own example, alone and in a full batch."""
        try:
            for model in self.models():
                self._warm(model)
        except Exception as error:  # told by /readyz; the process must go on to say so
            logger.exception("warming up failed")
            self._problem = f"Warming up failed: {error}"
            return
        self._problem = ""

    def close(self) -> None:
        """Answer what is waiting and end the queues."""
        for hosted in self._all():
            hosted.batcher.close()

    def _all(self) -> list[Hosted]:
        return [one for versions in self._models.values() for one in versions.values()]

    def _warm(self, model: "SavedVersion") -> None:
        for rows in (1, self._batching.max_batch):
            model.answer(DEFAULT, model.example(rows))

    def _put(self, model: "SavedVersion") -> None:
        batcher = Batcher(
            model.answer,
            max_batch=self._batching.max_batch,
            batch_timeout_ms=self._batching.timeout_ms,
            max_queue=self._batching.max_queue,
            on_batch=self._metrics.batch_observer(model.name, model.version),
        )
        self._metrics.watch_queue(model.name, model.version, batcher.waiting_rows)
        hosted = Hosted(model, batcher, self._batching.max_queue)
        with self._changing:
            versions = {**self._models.get(model.name, {}), model.version: hosted}
            self._models = {**self._models, model.name: versions}


def _number(version: str) -> int:
    """A version in a path as a number, -1 when it is none.

    >>> _number("3"), _number("latest")
    (3, -1)
    """
    return int(version) if re.fullmatch(r"[0-9]{1,18}", version) else -1
