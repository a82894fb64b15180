"""Dropout as a function of the seed and the step, so that a run can be taken up again.

The stateful operations that Keras' layers draw with keep their place in memory that
cannot be read or set: a resumed run would draw other numbers.
"""

import contextlib
import random
from collections.abc import Callable, Iterator

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import replaced


def fold_seed(seed: int, *numbers: tf.Tensor | int) -> tf.Tensor:
    """A seed for stateless operations, int64 `[2]`, made of `seed` and `numbers`.

    Other numbers, or the same in another order, give unrelated seeds.
    """
    folded = tf.constant([seed, 0], tf.int64)
    for number in numbers:
        number = tf.cast(number, tf.int64)
        folded = tf.random.experimental.stateless_fold_in(folded, number)
    return folded


@contextlib.contextmanager
def dropout_from(model: keras.Model, seed: int, *numbers: tf.Tensor) -> Iterator[None]:
    """Within it, the model's dropout layers draw what these numbers decide.

    Each call of a layer gets a seed of its own, by its place in the order of calls. In
    a graph it holds for what is traced within it.

    Args:
        model: Its layers at any depth.
        seed: The run's.
        *numbers: Integer scalars that tell this draw from others: step, replica.
    """
    draws = _Draws(fold_seed(seed, *numbers))
    layers = {id(layer): layer for layer in model._flatten_layers()}.values()
    with contextlib.ExitStack() as restored:
        for layer in layers:
            if isinstance(layer, keras.layers.Dropout):
                restored.enter_context(replaced(layer, "_random_generator", draws))
            elif hasattr(layer, "xdropout"):  # DeBERTa has a layer of its own.
                dropout = _xdropout(draws, layer.drop_prob)
                restored.enter_context(replaced(layer, "xdropout", dropout))
        # BART and its kin decide which layers to skip when the graph is traced.
        restored.callback(random.setstate, random.getstate())
        random.seed(seed)
        yield


class _Draws:
    """In the place of a dropout layer's random generator."""

    def __init__(self, seed: tf.Tensor) -> None:
        self.seed = seed
        self.calls = 0

    def _maybe_init(self) -> None:
        """Nothing; Keras calls it when it builds a layer."""

    def dropout(
        self, inputs: tf.Tensor, rate: float, noise_shape: tf.Tensor | None = None
    ) -> tf.Tensor:
        self.calls += 1
        seed = tf.random.experimental.stateless_fold_in(
            self.seed, tf.constant(self.calls, tf.int64)
        )
        return tf.nn.experimental.stateless_dropout(
            inputs, rate, seed=seed, noise_shape=noise_shape
        )


def _xdropout(draws: _Draws, rate: float) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda inputs: draws.dropout(inputs, rate)
