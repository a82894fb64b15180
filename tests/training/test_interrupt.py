"""Ctrl-C and SIGTERM while a real `fit` runs."""

import os
import signal
import threading

import pytest

from kerastune_llm.backend import keras
from kerastune_llm.training.callbacks import completed_steps
from kerastune_llm.training.interrupt import StoppedAtOnce, graceful_interrupt
from tests.training.one_weight import fit, one_weight


class Kill(keras.callbacks.Callback):
    """Sends this process signals during a step."""

    def __init__(self, number: int, step: int, times: int = 1) -> None:
        super().__init__()
        self.number, self.step, self.times = number, step, times

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) == self.step - 1:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_stops_after_the_step(number):
    before = signal.getsignal(number)
    model = one_weight()
    with graceful_interrupt() as interrupt:
        fit(model, steps=5, epochs=2, callbacks=[Kill(number, step=3), interrupt])
    assert interrupt.requested
    assert completed_steps(model) == 3
    assert signal.getsignal(number) is before


def test_a_signal_before_fit_stops_after_the_first_step():
    model = one_weight()
    with graceful_interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        fit(model, steps=5, callbacks=[interrupt])
    assert completed_steps(model) == 1


def test_second_signal_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), graceful_interrupt() as interrupt:
        fit(
            one_weight(),
            steps=5,
            callbacks=[Kill(signal.SIGINT, step=2, times=2), interrupt],
        )
    assert interrupt.requested
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_ends_at_once_what_can_be_repeated():
    with graceful_interrupt() as interrupt:
        with pytest.raises(StoppedAtOnce), interrupt.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("went on")
        assert interrupt.requested
        with pytest.raises(StoppedAtOnce), interrupt.at_once():
            raise AssertionError("began after the signal")


def test_after_what_can_be_repeated_a_signal_waits_again():
    with graceful_interrupt() as interrupt:
        with interrupt.at_once():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested


def test_nothing_happens_without_a_signal():
    model = one_weight()
    with graceful_interrupt() as interrupt:
        fit(model, steps=2, callbacks=[interrupt])
    assert not interrupt.requested
    assert completed_steps(model) == 2


def test_works_outside_the_main_thread():
    seen = []

    def run() -> None:
        with graceful_interrupt() as interrupt:
            seen.append(interrupt.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
