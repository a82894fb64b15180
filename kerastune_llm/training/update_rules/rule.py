"""What every update rule offers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kerastune_llm.backend import tf

Shape = tuple[int, ...]
Slots = dict[str, "tf.Tensor"]


class UpdateRule(Protocol):
    """A frozen dataclass of hyper-parameters with two pure functions."""

    def slots(self, shape: Shape) -> dict[str, Shape]:
        """Names and shapes of what is remembered of a weight; all start at zero."""

    def update(
        self,
        value: tf.Tensor,
        gradient: tf.Tensor,
        *,
        slots: Slots,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
        weight_decay: float,
    ) -> tuple[tf.Tensor, Slots]:
        """The new value of one weight, and its new slots.

        Args:
            value: The weight, any shape.
            gradient: Its dense gradient, same shape and dtype.
            slots: What `slots` names, as it is before this step.
            step: Number of this update, 1 for the first; a scalar of `value.dtype`.
            learning_rate: Scalar of `value.dtype`.
            weight_decay: 0 for the weights that are not to decay.
        """


def bias_correction(beta: float, step: tf.Tensor) -> tf.Tensor:
    """`1 - beta ** step` without the cancellation.

    In float32 `1 - 0.999 ** 1` is off by 5e-5 of itself, which would be the error of
    Adam's whole first update.
    """
    from kerastune_llm.backend import tf

    if beta == 0:
        return tf.ones_like(step)
    return -tf.math.expm1(step * math.log(beta))
