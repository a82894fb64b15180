"""The two rules with one slot: SGD with momentum, and Lion, its sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import Pace, Shape, Slots, Weight

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@OPTIMIZERS.register("sgd")
@dataclass(frozen=True)
class Sgd:
    """`m <- momentum * m + g + decay * x`, then `x <- x - lr * m`.

    The formula of `torch.optim.SGD` with no dampening.

    Args:
        momentum: Share of the old direction that is kept; 0 keeps no slot.
        use_nesterov: Look ahead: step by `g + momentum * m` instead.

    Source: Sutskever et al. 2013.
    """

    is_elementwise: ClassVar[bool] = True

    momentum: float = 0.9
    use_nesterov: bool = False

    def slots(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape} if self.momentum else {}

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        gradient = weight.gradient + pace.weight_decay * weight.value
        if not self.momentum:
            return weight.value - pace.learning_rate * gradient, {}
        mean = self.momentum * weight.slots["mean"] + gradient
        change = gradient + self.momentum * mean if self.use_nesterov else mean
        return weight.value - pace.learning_rate * change, {"mean": mean}


@OPTIMIZERS.register("lion")
@dataclass(frozen=True)
class Lion:
    """`x <- x (1 - lr * decay) - lr * sign(beta_1 m + (1 - beta_1) g)`.

    Every number moves by the same length, so learning rates are three to ten times
    smaller than AdamW's and decays as much larger.

    Args:
        beta_1: Share of the mean in the direction of a step.
        beta_2: Share of the old mean of gradients that is kept.

    Source: Chen et al. 2023, algorithm 2.
    """

    is_elementwise: ClassVar[bool] = True

    beta_1: float = 0.9
    beta_2: float = 0.99

    def slots(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape}

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        from kerastune_llm.backend import tf

        mean, gradient = weight.slots["mean"], weight.gradient
        direction = self.beta_1 * mean + (1 - self.beta_1) * gradient
        mean = self.beta_2 * mean + (1 - self.beta_2) * gradient
        value = weight.value * (1 - pace.learning_rate * pace.weight_decay)
        return value - pace.learning_rate * tf.sign(direction), {"mean": mean}
