"""GELU in fewer passes over memory, with the gradient written out.

Keras' is a chain of operations, each of which reads and writes a tensor of [batch,
length, feed-forward size], and its gradient is a chain of more, for which three of them
are kept. Here the input alone is kept. The approximation by tanh, which T5 v1.1 has,
stays Keras': written out like this it is slower, and compiled by XLA a little quicker
but in more memory.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

from transformers.activations_tf import ACT2FN

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import replaced

Activation = Callable[[tf.Tensor], tf.Tensor]
_KERAS_GELU = ACT2FN["gelu"]
_ROOT_HALF = math.sqrt(0.5)
# The density of a normal distribution in its middle.
_DENSITY = 1 / math.sqrt(2 * math.pi)


@contextlib.contextmanager
def quick_activations(model: keras.layers.Layer) -> Iterator[None]:
    """Within it, layers that hold Keras' GELU have the one of here.

    Args:
        model: Or a part of one, its layers at any depth; in a graph it holds for what
            is traced within it.
    """
    with contextlib.ExitStack() as within:
        for layer in {id(each): each for each in model._flatten_layers()}.values():
            for name, value in list(vars(layer).items()):
                if value is _KERAS_GELU:
                    within.enter_context(replaced(layer, name, gelu))
        yield


@tf.custom_gradient
def gelu(inputs: tf.Tensor) -> tuple[tf.Tensor, Activation]:
    """`x` times the share of a normal distribution that is below it.

    By erf, for which TensorFlow has vectors, where Keras' erfc has none.

    >>> [round(float(value), 4) for value in gelu(tf.constant([-1.0, 0.0, 2.0]))]
    [-0.1587, 0.0, 1.9545]
    """

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        values = _wide(inputs)
        density = tf.exp(-0.5 * tf.square(values)) * _DENSITY
        slope = _share_below(values) + values * density
        return tf.cast(_wide(upstream) * slope, inputs.dtype)

    values = _wide(inputs)
    return tf.cast(values * _share_below(values), inputs.dtype), gradient


def _share_below(values: tf.Tensor) -> tf.Tensor:
    return 0.5 + 0.5 * tf.math.erf(values * _ROOT_HALF)


def _wide(inputs: tf.Tensor) -> tf.Tensor:
    """Numbers of 16 bits in 32, so that the steps between are not rounded to 16."""
    return tf.cast(inputs, tf.float32) if inputs.dtype.size < 4 else inputs
