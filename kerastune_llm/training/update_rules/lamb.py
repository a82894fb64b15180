"""LAMB: Adam's direction, its length set for each weight by the weight's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.adam import adam_direction
from kerastune_llm.training.update_rules.rule import Shape, Slots

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@OPTIMIZERS.register("lamb")
@dataclass(frozen=True)
class Lamb:
    """`x <- x - lr * (|x| / |u|) * u` with `u = m' / (sqrt(v') + epsilon) + decay * x`.

    The ratio of the norms over one whole weight, its trust ratio, is 1 where either
    norm is zero. It keeps large batches stable; learning rates are some ten times
    those of AdamW.

    Args:
        beta_1: Share of the old mean of gradients that is kept.
        beta_2: Share of the old mean of squared gradients that is kept.
        epsilon: Added to the corrected square root.

    Source: You et al. 2020, algorithm 2, with the identity for phi.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6

    def slots(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape, "square": shape}

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
        direction, slots = adam_direction(self, gradient, slots, step)
        direction = direction + weight_decay * value
        ratio = _trust_ratio(value, direction)
        return value - learning_rate * ratio * direction, slots


def _trust_ratio(value: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
    from kerastune_llm.backend import tf

    length, step_length = tf.norm(value), tf.norm(direction)
    return tf.where(
        (length > 0) & (step_length > 0),
        tf.math.divide_no_nan(length, step_length),
        tf.ones_like(length),
    )
