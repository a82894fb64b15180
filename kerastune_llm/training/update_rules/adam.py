"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import Shape, Slots, bias_correction

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@OPTIMIZERS.register("adamw")
@dataclass(frozen=True)
class AdamW:
    """`x <- x (1 - lr * decay)`, then `x <- x - lr * m' / (sqrt(v') + epsilon)`.

    `m` and `v` are running means of the gradient and of its square, `m'` and `v'` are
    corrected for their start at zero. The formula of `torch.optim.AdamW`.

    Args:
        beta_1: Share of the old mean of gradients that is kept.
        beta_2: Share of the old mean of squared gradients that is kept.
        epsilon: Added to the corrected square root.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

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
        value = value * (1 - learning_rate * weight_decay)
        return value - learning_rate * direction, slots


@OPTIMIZERS.register("adam")
@dataclass(frozen=True)
class Adam:
    """`x <- x - lr * m' / (sqrt(v') + epsilon)`, `decay * x` added to the gradient.

    Differs from AdamW only where there is weight decay, which goes through the
    moments here. The formula of `torch.optim.Adam`.

    Args:
        beta_1: Share of the old mean of gradients that is kept.
        beta_2: Share of the old mean of squared gradients that is kept.
        epsilon: Added to the corrected square root.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

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
        gradient = gradient + weight_decay * value
        direction, slots = adam_direction(self, gradient, slots, step)
        return value - learning_rate * direction, slots


def adam_direction(
    rule: AdamW | Adam, gradient: tf.Tensor, slots: Slots, step: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    """`m' / (sqrt(v') + epsilon)` and the new `m` and `v`."""
    from kerastune_llm.backend import tf

    mean = rule.beta_1 * slots["mean"] + (1 - rule.beta_1) * gradient
    square = rule.beta_2 * slots["square"] + (1 - rule.beta_2) * tf.square(gradient)
    corrected_mean = mean / bias_correction(rule.beta_1, step)
    # PyTorch's order: the square root is corrected, then epsilon is added.
    root = tf.sqrt(square) / tf.sqrt(bias_correction(rule.beta_2, step))
    return corrected_mean / (root + rule.epsilon), {"mean": mean, "square": square}
