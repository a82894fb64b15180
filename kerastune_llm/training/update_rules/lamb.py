"""LAMB: Adam's direction, its length set for each weight by the weight's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.adam import Moments
from kerastune_llm.training.update_rules.rule import Pace, Slots, Weight

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@OPTIMIZERS.register("lamb")
@dataclass(frozen=True)
class Lamb(Moments):
    """`x <- x - lr * (|x| / |u|) * u` with `u = m' / (sqrt(v') + epsilon) + decay * x`.

    The ratio of the norms over one whole weight, its trust ratio, is 1 where either
    norm is zero. It keeps large batches stable; learning rates are some ten times
    those of AdamW.

    Source: You et al. 2020, algorithm 2, with the identity for phi.
    """

    is_elementwise: ClassVar[bool] = False

    epsilon: float = 1e-6

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        direction, slots = self.direction(weight.gradient, weight.slots, pace.step)
        direction = direction + pace.weight_decay * weight.value
        ratio = _trust_ratio(weight.value, direction)
        return weight.value - pace.learning_rate * ratio * direction, slots


def _trust_ratio(value: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
    from kerastune_llm.backend import tf

    length, step_length = tf.norm(value), tf.norm(direction)
    return tf.where(
        (length > 0) & (step_length > 0),
        tf.math.divide_no_nan(length, step_length),
        tf.ones_like(length),
    )
