"""What every update rule offers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from kerastune_llm.backend import tf

Shape = tuple[int, ...]
Slots = dict[str, "tf.Tensor"]


class Weight(NamedTuple):
    """One weight before an update.

    Args:
        value: Any shape.
        gradient: Dense, same shape and dtype.
        slots: What the rule remembers of it.
    """

    value: tf.Tensor
    gradient: tf.Tensor
    slots: Slots


class Pace(NamedTuple):
    """How far an update goes.

    Args:
        step: Number of this update of the weight, 1 for the first; a scalar of the
            weight's dtype.
        learning_rate: Scalar of the weight's dtype.
        weight_decay: 0 for the weights that are not to decay.
    """

    step: tf.Tensor
    learning_rate: tf.Tensor
    weight_decay: float


class UpdateRule(Protocol):
    """A frozen dataclass of hyper-parameters with two pure functions.

    Attributes:
        is_elementwise: Whether each number moves by its own gradients alone, and one
            that never had any stays, apart from weight decay.
    """

    is_elementwise: ClassVar[bool]

    def slots(self, shape: Shape) -> dict[str, Shape]:
        """Names and shapes of what is remembered of a weight; all start at zero."""

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        """The new value of one weight, and its new slots."""


def bias_correction(beta: float, step: tf.Tensor) -> tf.Tensor:
    """`1 - beta ** step` without the cancellation.

    In float32 `1 - 0.999 ** 1` is off by 5e-5 of itself, which would be the error of
    Adam's whole first update.
    """
    from kerastune_llm.backend import tf

    if beta == 0:
        return tf.ones_like(step)
    return -tf.math.expm1(step * math.log(beta))
