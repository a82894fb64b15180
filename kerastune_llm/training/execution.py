"""Several optimizer updates in one call of TensorFlow, told apart afterwards."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from kerastune_llm.backend import keras, tf

# The number of the update among its logs.
_STEP = "step"
# Updates that are timed before it is decided how many an execution has, and at most.
_TIMED, _MOST = 11, 64
# An execution is to take so many seconds, and spares so many for each of its updates.
_WANTED, _SPARED = 0.1, 0.003


class Execution:
    """In the place of Keras' train function: it keeps the logs of every update.

    Keras' own runs as many updates, and knows those of the last one alone. How many
    is read anew from `model.steps_per_execution` at every call.

    Args:
        model: Compiled with `steps_per_execution`.

    Attributes:
        updates: Of the last call, each update's number and logs.
    """

    def __init__(self, model: keras.Model) -> None:
        self.updates: list[tuple[int, dict[str, float]]] = []
        self._model = model
        self._names: list[str] = []
        self._replica_step = self._on_replica
        if model.jit_compile:
            self._replica_step = tf.function(
                self._on_replica,
                jit_compile=True,
                reduce_retracing=True,
                autograph=False,
            )
        self._function = tf.function(self._run, reduce_retracing=True, autograph=False)

    def __call__(self, iterator: Iterator) -> dict[str, float]:
        """Run the updates; the logs of the last one, as Keras' function gives them."""
        found = self._function(iterator).numpy()
        records = [dict(zip(self._names, row, strict=True)) for row in found.tolist()]
        self.updates = [(int(record.pop(_STEP)), record) for record in records]
        return dict(self.updates[-1][1])

    def _run(self, iterator: Iterator) -> tf.Tensor:
        """The logs of all updates, float64 `[updates, names]`."""
        count = tf.cast(self._model.steps_per_execution, tf.int32)

        def add(number: tf.Tensor, rows: tf.TensorArray) -> tuple:
            logs = self._step(iterator)
            self._names[:] = logs
            # On the host, where float64 holds what each of them is exactly.
            row = tf.stack([tf.cast(value, tf.float64) for value in logs.values()])
            return number + 1, rows.write(number, row)

        _, rows = tf.while_loop(
            lambda number, _: number < count,
            add,
            [tf.constant(0), tf.TensorArray(tf.float64, count)],
            parallel_iterations=1,
        )
        return rows.stack()

    def _step(self, iterator: Iterator) -> dict[str, tf.Tensor]:
        strategy = self._model.distribute_strategy
        outputs = strategy.run(self._replica_step, args=(next(iterator),))
        logs = {
            name: strategy.experimental_local_results(value)[0]
            for name, value in outputs.items()
        }
        return {**logs, _STEP: self._model.optimizer.iterations.value()}

    def _on_replica(self, data: Any) -> dict[str, tf.Tensor]:
        logs = self._model.train_step(data)
        self._model._train_counter.assign_add(1)
        return logs


def use_executions(model: keras.Model) -> None:
    """Have `fit` train by an `Execution`; for a model compiled with several steps."""

    def make_train_function(force: bool = False) -> Execution:
        if force or not isinstance(model.train_function, Execution):
            model.train_function = Execution(model)
        return model.train_function

    model.make_train_function = make_train_function


def finished_updates(
    model: keras.Model, logs: Mapping[str, Any]
) -> list[tuple[int, Mapping[str, Any]]]:
    """The updates since the callbacks were called last, each with its number and logs.

    Args:
        model: In `fit`.
        logs: What Keras hands to `on_train_batch_end`.
    """
    if isinstance(model.train_function, Execution):
        return list(model.train_function.updates)
    return [(int(model.optimizer.iterations.numpy()), logs)]


@runtime_checkable
class Punctual(Protocol):
    """A callback that acts after certain updates, and must be called right there."""

    def next_due(self, step: int) -> int | None:
        """The first update after `step` to be called at; `None` for any."""


class CutExecutions(keras.callbacks.Callback):
    """Ends an execution where another callback must be called; put it last.

    Args:
        steps: Updates in one execution at most.
        callbacks: Those of this `fit`; what is not `Punctual` is called as it comes.
    """

    def __init__(
        self, steps: int, callbacks: Iterable[keras.callbacks.Callback]
    ) -> None:
        super().__init__()
        self.steps = steps
        self.punctual: Sequence[Punctual] = [
            callback for callback in callbacks if isinstance(callback, Punctual)
        ]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._cut()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._cut()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.model.steps_per_execution = self.steps

    def _cut(self) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        places = (callback.next_due(step) for callback in self.punctual)
        left = [place - step for place in places if place is not None]
        self.model.steps_per_execution = max(1, min([self.steps, *left]))


class LongerExecutions(CutExecutions):
    """Puts as many updates into an execution as take a tenth of a second.

    What `fit` does between two executions takes 3 ms on a CPU; an update of a head on
    kept features takes less. The first updates say how long one takes, and whether what
    is spared is worth tracing the step once more. Put it last.

    Args:
        updates: Of this `fit`.
        callbacks: Those of this `fit`, as `CutExecutions` takes them.
        clock: Seconds from any moment.
    """

    def __init__(
        self,
        updates: int,
        callbacks: Iterable[keras.callbacks.Callback],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(1, callbacks)
        self.updates = updates
        self._clock = clock
        self._seconds: list[float] = []
        self._began = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._began = self._clock()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if len(self._seconds) < _TIMED:
            self._seconds.append(self._clock() - self._began)
            if len(self._seconds) == _TIMED:
                self._decide()
        self._cut()

    def _decide(self) -> None:
        tracing, seconds = self._seconds[0], statistics.median(self._seconds)
        steps = min(int(_WANTED / seconds), _MOST)
        if steps > 1 and (self.updates - _TIMED) * _SPARED > tracing:
            use_executions(self.model)
            self.model.make_train_function(force=True)
            self.steps = steps


def may_be_longer(
    model: keras.Model, callbacks: Iterable[keras.callbacks.Callback]
) -> bool:
    """Whether executions may have several updates that nobody has asked for.

    They may not where replicas would have to agree on how many, or where a callback is
    to be called after every update, for it does not say when it is due.

    Args:
        model: The model.
        callbacks: Those that may be of anyone.
    """
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return False
    return all(
        isinstance(callback, Punctual) or not callback._implements_train_batch_hooks()
        for callback in callbacks
    )
