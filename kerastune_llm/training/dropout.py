"""Dropout as a function of the seed and the step, so that a run can be taken up again.

The stateful operations that Keras' layers draw with keep their place in memory that
cannot be read or set: a resumed run would draw other numbers.
"""

import contextlib
import random
from collections.abc import Callable, Iterator

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import replaced
from kerastune_llm.training.random_mask import dropped

# Philox, whose integers are the same on every device, under XLA or not. TensorFlow's
# other draws are not: it picks algorithms by device, and XLA mixes seeds and makes
# floats out of integers in ways of its own.
_ALGORITHM = 1


def fold_seed(seed: int, *numbers: tf.Tensor | int) -> tf.Tensor:
    """A key for draws, uint64 `[1]`, made of `seed` and `numbers`.

    Other numbers, or the same in another order, give unrelated keys.
    """
    key = tf.constant([seed], tf.uint64)
    for number in numbers:
        key = _integers(key, number, [1], tf.uint64)
    return key


def _integers(
    key: tf.Tensor,
    place: tf.Tensor | int,
    shape: list[int],
    dtype: tf.DType,
) -> tf.Tensor:
    """Integers of all bits, which the key and the place in its stream decide."""
    counter = tf.stack([tf.constant(0, tf.uint64), tf.cast(place, tf.uint64)])
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=shape, key=key, counter=counter, alg=_ALGORITHM, dtype=dtype
    )


class Draws:
    """In the place of dropout layers' random generator: one seed for each call.

    Args:
        seed: Of all the draws, of `fold_seed`.
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
        if not rate:
            return inputs
        self.calls += 1
        words = _integers(self.seed, self.calls, [3], tf.uint32)
        return dropped(inputs, rate, words=words, noise_shape=noise_shape)


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
