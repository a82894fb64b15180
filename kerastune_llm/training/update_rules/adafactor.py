"""Adafactor: Adam's second moment kept as one row and one column of each matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import Pace, Shape, Slots, Weight

if TYPE_CHECKING:
    from kerastune_llm.backend import tf


@OPTIMIZERS.register("adafactor")
@dataclass(frozen=True)
class Adafactor:
    """`x <- x - lr * g / sqrt(v)`, `v` rebuilt from the means of its rows and columns.

    A `[rows, columns]` weight costs `rows + columns` numbers of memory. The step is
    shortened to a root mean square of at most `clip_threshold`. The formula and the
    defaults of transformers' `Adafactor(relative_step=False, scale_parameter=False)`,
    which T5 is usually tuned with, at a learning rate of 1e-3.

    Args:
        decay_rate: Squares of step t are kept with the share `1 - t ** decay_rate`.
        epsilon: Added to squared gradients.
        epsilon_scale: Least scale of a weight, for `use_parameter_scale`.
        clip_threshold: Largest root mean square of a step before the learning rate.
        beta_1: Share of the old step that is kept; 0 keeps no memory of it.
        use_parameter_scale: Multiply the learning rate by the root mean square of
            the weight.

    Source: Shazeer and Stern 2018, algorithm 4.
    """

    is_elementwise: ClassVar[bool] = False

    decay_rate: float = -0.8
    epsilon: float = 1e-30
    epsilon_scale: float = 1e-3
    clip_threshold: float = 1.0
    beta_1: float = 0.0
    use_parameter_scale: bool = False

    def slots(self, shape: Shape) -> dict[str, Shape]:
        squares = {"square": shape}
        if len(shape) >= 2:
            squares = {"row": shape[:-1], "column": (*shape[:-2], shape[-1])}
        return {**squares, "mean": shape} if self.beta_1 else squares

    def update(self, weight: Weight, pace: Pace) -> tuple[tf.Tensor, Slots]:
        from kerastune_llm.backend import tf

        value, gradient, slots = weight
        learning_rate = pace.learning_rate
        if self.use_parameter_scale:
            scale = tf.maximum(_root_mean_square(value), self.epsilon_scale)
            learning_rate = learning_rate * scale
        kept = 1 - tf.pow(pace.step, self.decay_rate)
        inverse_root, squares = self._second_moment(gradient, slots, kept)
        change = gradient * inverse_root
        excess = tf.maximum(_root_mean_square(change) / self.clip_threshold, 1)
        change = change / excess * learning_rate
        if self.beta_1:
            change = self.beta_1 * slots["mean"] + (1 - self.beta_1) * change
            squares = {**squares, "mean": change}
        return value * (1 - learning_rate * pace.weight_decay) - change, squares

    def _second_moment(
        self, gradient: tf.Tensor, slots: Slots, kept: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        """`1 / sqrt(v)`, factored for matrices, and the new means of squares."""
        from kerastune_llm.backend import tf

        square = tf.square(gradient) + self.epsilon
        if "square" in slots:
            square = kept * slots["square"] + (1 - kept) * square
            return tf.math.rsqrt(square), {"square": square}
        row = kept * slots["row"] + (1 - kept) * tf.reduce_mean(square, axis=-1)
        column = kept * slots["column"] + (1 - kept) * tf.reduce_mean(square, axis=-2)
        mean = tf.reduce_mean(row, axis=-1, keepdims=True)
        row_factor = tf.math.rsqrt(row / mean)[..., :, None]
        column_factor = tf.math.rsqrt(column)[..., None, :]
        return row_factor * column_factor, {"row": row, "column": column}


def _root_mean_square(tensor: tf.Tensor) -> tf.Tensor:
    from kerastune_llm.backend import tf

    return tf.sqrt(tf.reduce_mean(tf.square(tensor)))
