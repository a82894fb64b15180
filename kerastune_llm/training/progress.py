"""The progress bar of a run."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from kerastune_llm.backend import keras
from kerastune_llm.training.callbacks import Logs, completed_steps
from kerastune_llm.training.execution import finished_updates

# Weight of the past in the smoothed loss.
_SMOOTHING = 0.9


class Progress(keras.callbacks.Callback):
    """A bar with steps, smoothed loss and remaining time on a terminal.

    Elsewhere (a file, a pipe) a plain line at every tenth of the run.

    Args:
        total_steps: Updates of the whole run.
        console: Where to; share it with whatever else prints during the run.
    """

    def __init__(self, total_steps: int, console: Console | None = None) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.console = console or Console()
        self._loss: float | None = None
        self._bar: RichProgress | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._first_step = completed_steps(self.model)
        self._began = time.monotonic()
        if not self.console.is_terminal:
            return
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task = self._bar.add_task(
            "training", total=self.total_steps, completed=self._first_step, loss="-"
        )
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        for step, own in finished_updates(self.model, logs):
            loss = float(own["loss"])
            past = loss if self._loss is None else self._loss
            self._loss = _SMOOTHING * past + (1 - _SMOOTHING) * loss
            self._show(step)

    def _show(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step, loss=f"{self._loss:.4f}")
        elif self._tenth(step) > self._tenth(step - 1):
            self.console.print(self._line(step), markup=False, highlight=False)

    def on_scored(self, done: int, total: int) -> None:
        """Show how far an evaluation between two updates is, in rows."""
        if self._bar is not None:
            text = f"evaluating {done:,}/{total:,}" if done < total else "training"
            self._bar.update(self._task, description=text)

    def on_train_end(self, logs: Logs = None) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back; `fit` calls nothing when it ends by an exception."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _tenth(self, step: int) -> int:
        return 10 * step // self.total_steps

    def _line(self, step: int) -> str:
        seconds = time.monotonic() - self._began
        done = max(step - self._first_step, 1)
        left = seconds / done * (self.total_steps - step)
        return (
            f"step {step}/{self.total_steps}, loss {self._loss:.4f}, "
            f"{_clock(left)} left"
        )


def _clock(seconds: float) -> str:
    """
    >>> _clock(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
