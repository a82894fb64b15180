"""Each thing that keeps a function from a TPU is found and named."""

import pytest

from kerastune_llm.backend import tf
from kerastune_llm.training.xla_check import XlaCheck, check_for_tpu

ROW = tf.TensorSpec([3], tf.float32)


def check(function, *specs: tf.TensorSpec) -> XlaCheck:
    return check_for_tpu(
        tf.function(function, jit_compile=True, autograph=False), *(specs or (ROW,))
    )


def on_the_host(values: tf.Tensor) -> tf.Tensor:
    found = tf.py_function(tf.identity, [values], values.dtype)
    return tf.ensure_shape(found, values.shape)


def in_a_loop(values: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(
        lambda number, _: number < 2,
        lambda number, x: (number + 1, on_the_host(x)),
        [tf.constant(0), values],
    )[1]


def of_open_size(values: tf.Tensor) -> tf.Tensor:
    return tf.boolean_mask(values, values > 0)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: tf.strings.as_string(x), "AsString runs on the host alone"),
        (lambda x: tf.cast(x, tf.float64) * 2, "computes with float64"),
        (in_a_loop, "EagerPyFunc runs on the host alone"),
        (of_open_size, "Where has as many results as its values decide"),
        (lambda x: tf.numpy_function(abs, [x], x.dtype), "PyFunc runs on the host"),
    ],
)
def test_what_stays_on_the_host_is_named(function, why):
    found = check(function)
    assert not found.compiles
    assert any(why in obstacle for obstacle in found.obstacles)
    assert found.hlo_lines == 0


def test_an_open_shape_is_named():
    found = check(tf.square, tf.TensorSpec([None, 2], tf.float32))
    assert [o for o in found.obstacles if "is open: (None, 2)" in o]


def test_what_xla_says_is_handed_on():
    """A tensor that grows in a loop."""

    def grown(values: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(
            lambda x: tf.size(x) < 9,
            lambda x: (tf.concat([x, x], 0),),
            [values],
            shape_invariants=[tf.TensorShape([None])],
        )[0]

    found = check(grown)
    assert any("XLA does not compile it" in obstacle for obstacle in found.obstacles)


def test_a_sound_function_has_no_obstacle():
    def function(values: tf.Tensor) -> tf.Tensor:
        tf.debugging.assert_positive(values)
        return tf.math.top_k(tf.linalg.matvec(tf.eye(3), values), 2).values

    found = check(function)
    assert found.obstacles == ()
    assert found.ops > 5
    assert found.hlo_lines > 5
