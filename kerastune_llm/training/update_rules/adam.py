"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import (
    Pace,
    Shape,
    Slots,
    Weight,
    bias_correction,
)

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@dataclass(frozen=True)
class Moments:
    """The two means that Adam and its kin remember of a weight.

    Args:
        beta_1: Share of the old mean of gradients that is kept.
        beta_2: Share of the old mean of squared gradients that is kept.
        epsilon: Added to the corrected square root.
    """

    is_elementwise: ClassVar[bool] = True

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def slots(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape, "square": shape}

    def direction(
        self, gradient: tf.Tensor, slots: Slots, step: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        """`m' / (sqrt(v') + epsilon)` and the new `m` and `v`."""
        from kerastune_llm.backend import tf

        mean = self.beta_1 * slots["mean"] + (1 - self.beta_1) * gradient
        square = self.beta_2 * slots["square"] + (1 - self.beta_2) * tf.square(gradient)
        corrected_mean = mean / bias_correction(self.beta_1, step)
        # PyTorch's order: the square root is corrected, then epsilon is added.
        root = tf.sqrt(square) / tf.sqrt(bias_correction(self.beta_2, step))
        return corrected_mean / (root + self.epsilon), {"mean": mean, "square": square}


@OPTIMIZERS.register("adamw")
@dataclass(frozen=True)
class AdamW(Moments):
    """`x <- x (1 - lr * decay)`, then `x <- x - lr * m' / (sqrt(v') + epsilon)`.

    `m` and `v` are running means of the gradient and of its square, `m'` and `v'` are
    corrected for their start at zero. The formula of `torch.optim.AdamW`.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        direction, slots = self.direction(weight.gradient, weight.slots, pace.step)
        value = weight.value * (1 - pace.learning_rate * pace.weight_decay)
        return value - pace.learning_rate * direction, slots


@OPTIMIZERS.register("adam")
@dataclass(frozen=True)
class Adam(Moments):
    """`x <- x - lr * m' / (sqrt(v') + epsilon)`, `decay * x` added to the gradient.

    Differs from AdamW only where there is weight decay, which goes through the
    moments here. The formula of `torch.optim.Adam`.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        gradient = weight.gradient + pace.weight_decay * weight.value
        direction, slots = self.direction(gradient, weight.slots, pace.step)
        return weight.value - pace.learning_rate * direction, slots
