"""What watches a run: none of it steers further than to stop."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.training.execution import finished_updates

Metrics = Mapping[str, float]
OnEvaluation = Callable[[int, Metrics], bool | None]
Logs = dict[str, Any] | None


def completed_steps(model: keras.Model) -> int:
    """Optimizer updates so far, those before a resume included."""
    return int(model.optimizer.iterations.numpy())


class MetricsLog(keras.callbacks.Callback):
    """Hands a record to `write` every so many updates, and at every evaluation.

    A training record has `step`, `epoch` (with its fraction), `loss`, `learning_rate`
    and `gradient_norm` of that update alone, and `examples_per_second` and
    `tokens_per_second` over the updates since the last record; an evaluation record
    has `step`, `epoch` and `evaluation`, the metrics by name. Put it before
    `Evaluate`, so that no evaluation is timed.

    Args:
        write: Called with each record, a dict of numbers.
        every: Updates from one record to the next; the first is always written.
        steps_per_epoch: Updates in an epoch, which `fit` may not know.
    """

    def __init__(
        self,
        write: Callable[[dict[str, Any]], None],
        *,
        every: int = 1,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.write = write
        self.every = every
        self.steps_per_epoch = steps_per_epoch
        self._start_window()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # Counts `fit`'s own time alone, waiting for data included.
        seconds = time.perf_counter() - self._began
        updates = finished_updates(self.model, logs)
        for step, own in updates:
            self._seconds += seconds / len(updates)
            self._examples += int(own["examples"])
            self._tokens += int(own["tokens"])
            if step % self.every == 0 or step == 1:
                self.write(self._record(step, own))
                self._start_window()

    def on_evaluation(self, step: int, metrics: Metrics) -> None:
        """Write an evaluation record."""
        self.write({**self._position(step), "evaluation": dict(metrics)})

    def _record(self, step: int, logs: Mapping[str, Any]) -> dict[str, Any]:
        names = ("loss", "learning_rate", "gradient_norm")
        values = {name: float(logs[name]) for name in names if name in logs}
        return {
            **self._position(step),
            **values,
            "examples_per_second": self._examples / self._seconds,
            "tokens_per_second": self._tokens / self._seconds,
        }

    def _position(self, step: int) -> dict[str, float]:
        return {"step": step, "epoch": round(step / self.steps_per_epoch, 4)}

    def _start_window(self) -> None:
        self._seconds = 0.0
        self._examples = self._tokens = 0


class Evaluate(keras.callbacks.Callback):
    """Calls `evaluate` every epoch or every N updates, and after the last update.

    The metrics go to the listeners in their order, and as `val_<name>` into the logs
    of the epoch, where Keras callbacks look for them. A run that was stopped (by
    patience, by Ctrl-C) is not evaluated again.

    Args:
        evaluate: Scores the model as it is; returns metrics by name.
        listeners: Called with the completed updates and the metrics; one that returns
            True stops the run.
        every: `"epoch"`, or a number of updates.
        steps_per_epoch: Updates in an epoch.
        total_steps: The run's last update, which is always evaluated.

    Raises:
        UserError: `every` is neither `"epoch"` nor positive.
    """

    def __init__(
        self,
        evaluate: Callable[[], Metrics],
        listeners: Sequence[OnEvaluation] = (),
        *,
        every: Literal["epoch"] | int = "epoch",
        steps_per_epoch: int,
        total_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.steps = steps_per_epoch if every == "epoch" else every
        if not isinstance(self.steps, int) or self.steps < 1:
            raise UserError(
                "An evaluation comes every epoch or every so many updates.",
                accepted='"epoch" or a positive number',
                received=every,
            )
        self.evaluate = evaluate
        self.listeners = tuple(listeners)
        self.last_step: int | None = None
        self.metrics: dict[str, float] = {}

    def is_due(self, step: int) -> bool:
        """Whether an evaluation comes after this update."""
        return step % self.steps == 0 or step == self.total_steps

    def next_due(self, step: int) -> int:
        """The first update after `step` that an evaluation comes after."""
        following = step + self.steps - step % self.steps
        if self.total_steps is None or self.total_steps <= step:
            return following
        return min(following, self.total_steps)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.is_due(completed_steps(self.model)):
            self.evaluate_now()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            logs.update({f"val_{name}": v for name, v in self.metrics.items()})

    def on_train_end(self, logs: Logs = None) -> None:
        if not self.model.stop_training:
            self.evaluate_now()

    def evaluate_now(self) -> None:
        """Evaluate, unless the weights of this very step were."""
        step = completed_steps(self.model)
        if step == self.last_step:
            return
        self.last_step = step
        self.metrics = dict(self.evaluate())
        answers = [listener(step, self.metrics) for listener in self.listeners]
        if any(answers):
            self.model.stop_training = True


class KeepBest:
    """Saves the model whenever an evaluation is the best, and stops without progress.

    Its `on_evaluation` is a listener of `Evaluate`. Higher is better, except for
    `loss`; an equal value is no progress. The first evaluation is always saved.

    Args:
        metric: Name among the metrics.
        save: Called with no argument when the weights are the best so far.
        patience: Evaluations without progress after which `fit` stops; `None`: never.
    """

    def __init__(
        self, metric: str, save: Callable[[], None], *, patience: int | None = None
    ) -> None:
        self.metric = metric
        self.save = save
        self.patience = patience
        self.best_step: int | None = None
        self.best_metrics: dict[str, float] = {}
        self.evaluations_since = 0

    @property
    def state(self) -> dict[str, Any]:
        """What is remembered, as plain values for `restore`."""
        return {
            "best_step": self.best_step,
            "best_metrics": self.best_metrics,
            "evaluations_since": self.evaluations_since,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.best_step = state["best_step"]
        self.best_metrics = dict(state["best_metrics"])
        self.evaluations_since = state["evaluations_since"]

    def on_evaluation(self, step: int, metrics: Metrics) -> bool:
        """Compare with the best and save; True when the patience is at its end.

        Raises:
            UserError: The metric is not among the metrics.
        """
        if self.metric not in metrics:
            raise unknown_name("metric of this evaluation", self.metric, metrics)
        if self._is_better(metrics[self.metric]):
            self.best_step, self.best_metrics = step, dict(metrics)
            self.evaluations_since = 0
            self.save()
            return False
        self.evaluations_since += 1
        return self.patience is not None and self.evaluations_since >= self.patience

    def _is_better(self, value: float) -> bool:
        if self.best_step is None:
            return True
        best = self.best_metrics[self.metric]
        if math.isnan(best):
            return not math.isnan(value)
        return value < best if self.metric == "loss" else value > best


class TrainingDiverged(UserError):
    """The loss is no longer a number; training on cannot bring it back."""


class StopOnNaN(keras.callbacks.Callback):
    """Raises TrainingDiverged at the first loss that is not finite; put it first."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        for step, own in finished_updates(self.model, logs):
            if not math.isfinite(own["loss"]):
                raise _diverged(step, own)


def _diverged(step: int, logs: Mapping[str, Any]) -> TrainingDiverged:
    return TrainingDiverged(
        f"The loss is {float(logs['loss'])} at step {step}, with the learning rate "
        f"{float(logs['learning_rate']):.3g}. To mend it: a lower "
        "--optim.learning-rate, or a warmup (--optim.warmup 0.1); gradients clipped "
        "(--optim.clip-norm 1.0); and with mixed_float16, --runtime.precision "
        "mixed_bfloat16."
    )
