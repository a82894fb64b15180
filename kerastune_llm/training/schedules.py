"""Learning rates over a run: a warmup from zero, then one of four shapes."""

import math
from collections.abc import Callable

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError, unknown_name

# With no warmup the inverse square root needs another unit of time; transformers' one.
_TIMESCALE = 10_000.0


def _linear(step: tf.Tensor, warmup: float, total: float) -> tf.Tensor:
    return tf.maximum(0.0, (total - step) / max(1.0, total - warmup))


def _cosine(step: tf.Tensor, warmup: float, total: float) -> tf.Tensor:
    progress = (step - warmup) / max(1.0, total - warmup)
    # Past the end the cosine would rise again.
    return 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))


def _constant(step: tf.Tensor, warmup: float, total: float) -> tf.Tensor:
    return tf.ones_like(step)


def _inverse_sqrt(step: tf.Tensor, warmup: float, total: float) -> tf.Tensor:
    timescale = warmup or _TIMESCALE
    return tf.math.rsqrt((step + timescale - warmup) / timescale)


SCHEDULES: dict[str, Callable[[tf.Tensor, float, float], tf.Tensor]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "inverse_sqrt": _inverse_sqrt,
}


@keras.utils.register_keras_serializable("kerastune_llm")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate after a number of completed updates.

    Equal to transformers' `get_linear_schedule_with_warmup` and its kin: with a
    warmup the first update has the rate zero. `build_schedule` makes one.

    Args:
        name: `"linear"`, `"cosine"`, `"constant"` or `"inverse_sqrt"`.
        learning_rate: The highest rate, reached at the end of the warmup.
        warmup_steps: Updates over which the rate rises from zero.
        total_steps: Updates of the whole run.
    """

    def __init__(
        self, name: str, learning_rate: float, warmup_steps: int, total_steps: int
    ) -> None:
        self.name = name
        self.peak = learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warmup, total = float(self.warmup_steps), float(self.total_steps)
        rising = step / max(1.0, warmup)
        after = SCHEDULES[self.name](tf.maximum(step, warmup), warmup, total)
        return self.peak * tf.where(step < warmup, rising, after)

    def get_config(self) -> dict[str, str | float | int]:
        return {
            "name": self.name,
            "learning_rate": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def build_schedule(
    name: str, *, learning_rate: float, warmup: float, total_steps: int
) -> WarmupSchedule:
    """A schedule for a run of `total_steps` updates.

    Args:
        name: `"linear"`, `"cosine"`, `"constant"` or `"inverse_sqrt"`.
        learning_rate: The highest rate.
        warmup: Below 1 a fraction of all updates, rounded up; else their number.
        total_steps: Updates of the whole run.

    Raises:
        UserError: An unknown name, a rate or length that is not positive, or a warmup
            that is negative, broken or longer than the run.

    Example:
    >>> schedule = build_schedule(
    ...     "linear", learning_rate=1.0, warmup=0.5, total_steps=4
    ... )
    >>> [float(schedule(step)) for step in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise UserError("The learning rate must be positive.", received=learning_rate)
    if total_steps < 1:
        raise UserError("A run needs at least one update.", received=total_steps)
    return WarmupSchedule(
        name, float(learning_rate), _warmup_steps(warmup, total_steps), total_steps
    )


def _warmup_steps(warmup: float, total_steps: int) -> int:
    if not warmup >= 0 or (warmup >= 1 and warmup != int(warmup)):
        raise UserError(
            "The warmup is neither a share of the run nor a number of updates.",
            accepted="from 0 to below 1 a fraction, from 1 on a whole number",
            received=warmup,
        )
    steps = math.ceil(total_steps * warmup) if warmup < 1 else int(warmup)
    if steps > total_steps:
        raise UserError(
            "The warmup is longer than the run, so the learning rate would not be "
            "reached.",
            accepted=f"at most {total_steps} updates, or a fraction below 1",
            received=warmup,
            mend="a warmup of 0.1, or more updates",
        )
    return steps
