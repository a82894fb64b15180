"""How fast a compiled model trains: its steps, the update in them, and the machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from kerastune_llm.backend import keras, tf

# Rows and columns of the square matrices that are multiplied to know the machine.
MATRIX = 2048
REPEATS = 5


@dataclass(frozen=True)
class TimedStep:
    """One training step.

    Args:
        wait: Seconds until its batch was there.
        seconds: Seconds of the step after that, until its loss was known.
        shape: Rows, width of the inputs, and of the labels that are texts, else 0.
        examples: In the batch; more than rows where they are packed.
        tokens: Of inputs and labels, without padding.
    """

    wait: float
    seconds: float
    shape: tuple[int, int, int]
    examples: int
    tokens: int

    @property
    def cells(self) -> int:
        """Places for tokens, padding included."""
        rows, inputs, targets = self.shape
        return rows * (inputs + targets)


@dataclass(frozen=True)
class Timing:
    """Steps that were timed.

    Args:
        first_step: `time.perf_counter()` when the first of all was done.
        steps: Those after the warm-up.
    """

    first_step: float
    steps: tuple[TimedStep, ...]

    @property
    def seconds(self) -> float:
        """All of them together, waiting included."""
        return sum(step.wait + step.seconds for step in self.steps)

    @property
    def wait(self) -> float:
        """Seconds of it waiting for batches."""
        return sum(step.wait for step in self.steps)

    @property
    def examples(self) -> int:
        """In all of their batches."""
        return sum(step.examples for step in self.steps)

    @property
    def tokens(self) -> int:
        """In all of their batches, without padding."""
        return sum(step.tokens for step in self.steps)

    @property
    def padding(self) -> float:
        """Share of the batches' places that is padding."""
        return 1 - self.tokens / sum(step.cells for step in self.steps)


def time_steps(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    warm_up: int,
    steps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> Timing:
    """Train some steps as `fit` does, each timed by itself.

    With XLA every shape is compiled when it first comes: the timed batches then go
    through the model once before, so that no compilation is timed.

    Args:
        model: A model that went through `compile_model`.
        batches: At least `warm_up + steps` of them.
        warm_up: Steps before those that are timed, at least 1.
        steps: Steps that are timed, at least 1.
        on_step: Called with steps done and steps in all.
    """
    # `fit` compiles the same: `train_step` on what the dataset says it gives.
    function = tf.function(
        lambda batch: model.train_step(batch),
        input_signature=[batches.element_spec],
        jit_compile=model.jit_compile or None,
        autograph=False,
    )
    compiles_shapes = bool(model.jit_compile)
    total = (warm_up + steps) * (1 + compiles_shapes)
    done, first_step, timed = 0, 0.0, []
    for is_timed in (False, True) if compiles_shapes else (True,):
        iterator = iter(batches)
        for number in range(warm_up + steps):
            step = _timed(function, iterator)
            first_step = first_step or time.perf_counter()
            done += 1
            if is_timed and number >= warm_up:
                timed.append(step)
            if on_step is not None:
                on_step(done, total)
    return Timing(first_step, tuple(timed))


def _timed(
    function: tf.types.experimental.PolymorphicFunction, iterator: object
) -> TimedStep:
    began = time.perf_counter()
    batch = next(iterator)
    got = time.perf_counter()
    logs = function(batch)
    # `fit`'s callbacks read the loss too: nothing is left to run after it.
    float(logs["loss"])
    ended = time.perf_counter()
    rows, inputs = batch["input_ids"].shape
    targets = batch["labels"].shape[1] if _is_text(batch["labels"]) else 0
    return TimedStep(
        wait=got - began,
        seconds=ended - got,
        shape=(rows, inputs, targets),
        examples=int(logs["examples"]),
        tokens=int(logs["tokens"]),
    )


def _is_text(labels: tf.Tensor) -> bool:
    return labels.dtype.is_integer and labels.shape.rank == 2


def update_seconds(model: keras.Model) -> float:
    """Seconds of the optimizer's update alone, by dense gradients: the median of five.

    The gradients are zeros; weights and moments decay by them, and the model is none to
    train on with.

    Args:
        model: A compiled model that has made a step.
    """
    variables = model.trainable_variables
    gradients = [tf.zeros_like(variable) for variable in variables]

    @tf.function(autograph=False)
    def update(gradients: list[tf.Tensor]) -> tf.Tensor:
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return tf.identity(model.optimizer.iterations)

    update(gradients)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        int(update(gradients))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def matrix_flops(dtype: str | None = None) -> float:
    """Floating-point operations a second of a large matrix product, the best of five.

    Args:
        dtype: Of the numbers; default: what the Keras policy computes in.
    """
    dtype = dtype or keras.mixed_precision.global_policy().compute_dtype
    matrix = tf.cast(tf.random.stateless_uniform([MATRIX, MATRIX], [1, 2]), dtype)
    best = float("inf")
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        tf.matmul(matrix, matrix).numpy()
        best = min(best, time.perf_counter() - began)
    return 2 * MATRIX**3 / best
