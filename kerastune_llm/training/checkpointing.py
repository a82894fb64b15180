"""When a run saves its state."""

import re
import time
from collections.abc import Callable

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import Logs, completed_steps
from kerastune_llm.training.execution import finished_updates

_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Checkpoints(keras.callbacks.Callback):
    """Calls `save` before every evaluation, and every so often between them.

    Put it before `Evaluate`: what is saved is the state that is about to be evaluated,
    so that a run that dies in an evaluation has lost nothing.

    Args:
        save: Saves the run as it is; called with the number of batches it has taken,
            which is that of the updates, but for those that mixed_float16 skips.
        every: Updates (`100`) or time (`"90s"`, `"5m"`, `"1h"`) from one to the next;
            `"never"` saves only when `save_now` is called.
        is_evaluated: Whether an evaluation comes after this update.
        clock: Tells the time in seconds.

    Raises:
        UserError: `every` is none of these.
    """

    def __init__(
        self,
        save: Callable[[int], None],
        *,
        every: int | str,
        is_evaluated: Callable[[int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.save = save
        self.is_evaluated = is_evaluated
        self.every_steps = every if isinstance(every, int) else None
        self.every_seconds = None if isinstance(every, int) else _seconds(every)
        self.is_off = every == "never"
        self.last_step = 0
        self.batches = 0
        self.clock = clock
        self._last_time = 0.0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.last_step = completed_steps(self.model)
        self._last_time = self.clock()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.batches += len(finished_updates(self.model, logs))
        if not self.is_off and self._is_due(completed_steps(self.model)):
            self.save_now()

    def next_due(self, step: int) -> int | None:
        """The first update after `step` that is saved for its number alone."""
        if self.is_off or self.every_steps is None:
            return None
        return max(self.last_step + self.every_steps, step + 1)

    def save_now(self) -> None:
        """Save, unless this very step is saved."""
        step = completed_steps(self.model)
        if step != self.last_step:
            self.save(self.batches)
            self.last_step = step
            self._last_time = self.clock()

    def _is_due(self, step: int) -> bool:
        if self.is_evaluated(step):
            return True
        if self.every_steps is not None:
            return step - self.last_step >= self.every_steps
        return self.clock() - self._last_time >= self.every_seconds


def _seconds(text: str) -> float:
    """
    >>> _seconds("5m"), _seconds("never")
    (300.0, inf)
    """
    if text == "never":
        return float("inf")
    found = re.fullmatch(r"(\d+)([smh])", text)
    if found is None:
        raise UserError(
            "Checkpoints come every so many updates, or after some time.",
            accepted="100, 90s, 5m, 1h or never",
            received=text,
        )
    return float(found[1]) * _SECONDS[found[2]]
