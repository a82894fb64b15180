"""GELU in fewer passes over memory, with the gradient written out.

Keras' is a chain of eight to ten operations, each of which reads and writes a tensor of
[batch, length, feed-forward size], and gradients are a chain of more, which keep three
or four of them. Here the input alone is kept.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator

from transformers.activations_tf import ACT2FN

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import replaced
from kerastune_llm.models.few_sizes import rounded_up

Activation = Callable[[tf.Tensor], tf.Tensor]
GraphFunction = tf.types.experimental.PolymorphicFunction
_ROOT_HALF = math.sqrt(0.5)
# Of the density of a normal distribution, and of the approximation by tanh.
_DENSITY = 1 / math.sqrt(2 * math.pi)
_SLOPE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


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
                quick = _QUICK.get(id(value))
                if quick is not None:
                    within.enter_context(replaced(layer, name, quick))
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


@tf.custom_gradient
def gelu_by_tanh(inputs: tf.Tensor) -> tuple[tf.Tensor, Activation]:
    """The approximation of `gelu` by tanh, which GPT-2 and T5 v1.1 were trained with.

    XLA makes one loop of it, and one of its gradient.

    >>> values = gelu_by_tanh(tf.constant([-1.0, 0.0, 2.0]))
    >>> [round(float(value), 4) for value in values]
    [-0.1588, 0.0, 1.9546]
    """

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return _in_one_loop(_tanh_gradient, inputs, upstream)

    return _in_one_loop(_tanh_value, inputs), gradient


def _tanh_value(inputs: tf.Tensor) -> tf.Tensor:
    values = _wide(inputs)
    return tf.cast(values * (0.5 + 0.5 * _tanh(values)), inputs.dtype)


def _tanh_gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    values = _wide(inputs)
    tanh = _tanh(values)
    slope = _SLOPE * (1 + 3 * _CUBIC * values * values)
    slope = 0.5 * (1 + tanh + values * (1 - tanh * tanh) * slope)
    return tf.cast(_wide(upstream) * slope, inputs.dtype)


def _tanh(values: tf.Tensor) -> tf.Tensor:
    return tf.tanh(_SLOPE * values * (1 + _CUBIC * values * values))


def _in_one_loop(function: Callable[..., tf.Tensor], *inputs: tf.Tensor) -> tf.Tensor:
    """A function of each element, compiled by XLA for few sizes or the one known."""
    if inputs[0].shape.is_fully_defined():
        return _compiled(function)(*inputs)
    shape, size = tf.shape(inputs[0]), tf.size(inputs[0])
    missing = rounded_up(size) - size
    flat = [tf.pad(tf.reshape(each, [-1]), [[0, missing]]) for each in inputs]
    return tf.reshape(_compiled(function)(*flat)[:size], shape)


@functools.cache
def _compiled(function: Callable[..., tf.Tensor]) -> GraphFunction:
    return tf.function(function, jit_compile=True, autograph=False)


_QUICK = {id(ACT2FN["gelu"]): gelu, id(ACT2FN["gelu_new"]): gelu_by_tanh}
