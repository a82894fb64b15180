"""Ctrl-C and SIGTERM end a run between two steps, so that it can be saved."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from kerastune_llm.backend import keras
from kerastune_llm.training.workers import Workers

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedAtOnce(KeyboardInterrupt):
    """A signal came where nothing is lost by stopping at once."""


class Interrupt(keras.callbacks.Callback):
    """Stops `fit` after the step in which a signal came; pass it as a callback.

    Of several workers, all stop after the same step, whichever got the signal.

    Args:
        requested: Whether a signal came; read it after `fit`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self._is_at_once = False

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it, a signal does not wait for the end of the step.

        Raises:
            StoppedAtOnce: A signal comes, or came before.
        """
        if self.requested:
            raise StoppedAtOnce
        self._is_at_once = True
        try:
            yield
        finally:
            self._is_at_once = False

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if Workers(self.model.distribute_strategy).any(self.requested):
            self.requested = True
            self.model.stop_training = True

    def next_due(self, step: int) -> int | None:
        """None: after which update it stops does not matter."""
        return None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # A signal that came during the validation at the end of an epoch.
        self.on_train_batch_end(epoch)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; let the second one end everything at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        name = signal.Signals(number).name
        if self._is_at_once:
            logger.warning("%s: stopping", name)
            raise StoppedAtOnce
        logger.warning("%s: stopping after this step; once more to stop at once", name)


@contextlib.contextmanager
def graceful_interrupt() -> Iterator[Interrupt]:
    """Catch SIGINT and SIGTERM while `fit` runs.

    The first signal stops `fit` after the current step, with the weights whole; the
    second raises KeyboardInterrupt. Outside the main thread Python delivers no
    signals, and nothing is caught.

    Example:
        with graceful_interrupt() as interrupt:
            model.fit(batches, callbacks=[interrupt])
        if interrupt.requested: ...
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.handle) for number in _SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
