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


class Draws:
    """In the place of dropout layers' random generator: one seed for each call.

    Args:
        seed: Of all the draws, int64 `[2]`.
        calls: How many there were before.
    """

    def __init__(self, seed: tf.Tensor, calls: int = 0) -> None:
        self.seed = seed
        self.calls = calls

    @contextlib.contextmanager
    def installed(self, layer: keras.layers.Layer) -> Iterator[None]:
        """Within it, the dropout layers in `layer`, at any depth, draw from here."""
        layers = {id(inner): inner for inner in layer._flatten_layers()}.values()
        with contextlib.ExitStack() as restored:
            for inner in layers:
                if isinstance(inner, keras.layers.Dropout):
                    restored.enter_context(replaced(inner, "_random_generator", self))
                elif hasattr(inner, "xdropout"):  # DeBERTa has a layer of its own.
                    dropout = _xdropout(self, inner.drop_prob)
                    restored.enter_context(replaced(inner, "xdropout", dropout))
            yield

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


@contextlib.contextmanager
def dropout_from(model: keras.Model, seed: int, *numbers: tf.Tensor) -> Iterator[Draws]:
    """Within it, the model's dropout layers draw what these numbers decide.

    Each call of a layer gets a seed of its own, by its place in the order of calls. In
    a graph it holds for what is traced within it.

    Args:
        model: Its layers at any depth.
        seed: The run's.
        *numbers: Integer scalars that tell this draw from others: step, replica.
    """
    draws = Draws(fold_seed(seed, *numbers))
    with draws.installed(model), contextlib.ExitStack() as restored:
        # BART and its kin decide which layers to skip when the graph is traced.
        restored.callback(random.setstate, random.getstate())
        random.seed(seed)
        yield draws


def _xdropout(draws: Draws, rate: float) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda inputs: draws.dropout(inputs, rate)
