"""Sizes that tensors are rounded up to, so that XLA compiles a function few times."""

import math

from kerastune_llm.backend import tf

# Rounded up to a quarter of an octave.
_SIZES_PER_OCTAVE = 4
_SMALLEST_STEP = 256


def rounded_up(size: tf.Tensor) -> tf.Tensor:
    """The next of few sizes, int32, at most a quarter above `size`, or by 256.

    >>> [int(rounded_up(tf.constant(size))) for size in (1, 256, 5000, 5121)]
    [256, 256, 5120, 6144]
    """
    octave = tf.math.log(tf.cast(tf.maximum(size, 1), tf.float32)) / math.log(2)
    step = tf.cast(2.0 ** tf.floor(octave), tf.int32) // _SIZES_PER_OCTAVE
    step = tf.maximum(step, _SMALLEST_STEP)
    return -(-size // step) * step
