"""Random masks for dropout that cost a CPU little: hashed counters, compiled by XLA.

TensorFlow draws a float32 for each element by Philox, 8 ns each on a CPU: as long as a
matrix product of the same size takes. A hash of a counter is enough to decide what is
dropped, and XLA makes one loop over vectors of all its operations.
"""

import functools
import math
from collections.abc import Callable

from kerastune_llm.backend import tf

GraphFunction = tf.types.experimental.PolymorphicFunction

# Sizes are rounded up to a quarter of an octave: each size is compiled once.
_SIZES_PER_OCTAVE = 4
_SMALLEST_STEP = 256


def dropped(
    inputs: tf.Tensor,
    rate: float,
    *,
    words: tf.Tensor,
    noise_shape: tf.Tensor | None = None,
) -> tf.Tensor:
    """Dropout: elements are 0 with probability `rate`, else divided by `1 - rate`.

    Only the mask, a byte an element, is kept for the gradient.

    Args:
        inputs: Floats of any shape.
        rate: Share that is dropped, at least 0 and below 1.
        words: Three random words that decide the mask, uint32 `[3]`.
        noise_shape: Shape of the mask, 1 where it is broadcast; default: the inputs'.
    """
    shape = tf.shape(inputs) if noise_shape is None else noise_shape
    keep = keep_mask(shape, rate, words=words)

    def masked(values: tf.Tensor) -> tf.Tensor:
        return values * tf.cast(keep, values.dtype) * (1 / (1 - rate))

    @tf.custom_gradient
    def drop(values: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        return masked(values), masked

    return drop(inputs)


def keep_mask(shape: tf.Tensor, rate: float, *, words: tf.Tensor) -> tf.Tensor:
    """True with probability `1 - rate`, independently in each place.

    A function of the words and the place alone, on every device.

    Args:
        shape: int32, of known rank.
        rate: Share that is false, exact to 2e-10.
        words: Three random words, uint32 `[3]`.

    Returns:
        bool of that shape.

    Example:
    >>> words = tf.constant([2654435769, 40503, 2246822519], tf.uint32)
    >>> mask = keep_mask(tf.constant([200, 500]), 0.25, words=words)
    >>> round(float(tf.reduce_mean(tf.cast(mask, tf.float32))), 2)
    0.75
    """
    known = tf.get_static_value(shape)
    if known is not None:
        size = math.prod(known.tolist())
        return tf.reshape(_masks(rate)(tf.constant(size), words), shape)
    size = tf.reduce_prod(shape)
    return tf.reshape(_masks(rate)(_rounded_up(size), words)[:size], shape)


def _rounded_up(size: tf.Tensor) -> tf.Tensor:
    """The next of few sizes, int32."""
    octave = tf.math.log(tf.cast(tf.maximum(size, 1), tf.float32)) / math.log(2)
    step = tf.cast(2.0 ** tf.floor(octave), tf.int32) // _SIZES_PER_OCTAVE
    step = tf.maximum(step, _SMALLEST_STEP)
    return -(-size // step) * step


@functools.cache
def _masks(rate: float) -> GraphFunction:
    """The function `(size, words)` to a bool mask `[size]`, for one rate."""

    def masks(size: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        return _hashes(size, words) >= _word(round(rate * 2**32))

    return tf.function(masks, jit_compile=True, autograph=False)


def _hashes(size: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Hashes of the places 0 to `size - 1`, uint32 `[size]`.

    The steps are those of triple32 (C. Wellons, "Prospecting for Hash Functions",
    2018), where each bit of the input flips half of the output's. A random word comes
    in before each of them: with one alone, two masks would hash the same numbers in
    another order.
    """
    value = tf.cast(tf.range(size), tf.uint32) + words[0]
    value = _mixed(value, 17) * _word(0xED5AD4BB)
    value = (_mixed(value, 11) ^ words[1]) * _word(0xAC4C1B51)
    value = (_mixed(value, 15) + words[2]) * _word(0x31848BAB)
    return _mixed(value, 14)


def _mixed(value: tf.Tensor, bits: int) -> tf.Tensor:
    return value ^ tf.bitwise.right_shift(value, _word(bits))


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
