"""GELU of ours against Keras', in the layers that have it."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.models.quick_activations import gelu, gelu_by_tanh, quick_activations
from tests.tiny_models import tiny, tiny_batch

# From where both tails are flat, over the middle, with numbers that float32 cannot
# tell from 0.
VALUES = np.concatenate([np.linspace(-12, 12, 4001), [-1e-20, 0, 1e-20, -80, 80]])
BOTH = ((gelu, False), (gelu_by_tanh, True))


def value_and_gradient(function, values):
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = function(values)
    weights = tf.cast(tf.range(tf.size(values)) % 7 - 3, values.dtype) / 3
    weights = tf.reshape(weights, tf.shape(values))
    return outputs, tape.gradient(outputs, values, output_gradients=weights)


@pytest.mark.parametrize(("function", "approximate"), BOTH)
@pytest.mark.parametrize("shape", [[-1], [None, 2, None]])
def test_values_and_gradients_are_keras_s_of_any_length(function, approximate, shape):
    def keras_s(values):
        return keras.activations.gelu(values, approximate=approximate)

    # In float64. In float32 1 - tanh^2 is 0 from where it is 1e-7, of Keras' too.
    exact = value_and_gradient(keras_s, tf.constant(VALUES, tf.float64))
    values = tf.constant(VALUES[: 4005 // 6 * 6], tf.float32)
    values = tf.reshape(values, [-1] if len(shape) == 1 else [3, 2, -1])
    spec = tf.TensorSpec([None if n == -1 else n for n in shape], tf.float32)
    graph = tf.function(
        lambda values: value_and_gradient(function, values), input_signature=[spec]
    )
    for found, wanted in zip(graph(values), exact, strict=True):
        found = found.numpy().ravel()
        np.testing.assert_allclose(found, wanted[: len(found)], rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize(("function", "approximate"), BOTH)
def test_in_16_bits_they_are_the_nearest_number(function, approximate):
    values = tf.constant(VALUES, tf.bfloat16)
    outputs, gradient = value_and_gradient(function, values)
    assert outputs.dtype == gradient.dtype == tf.bfloat16
    exact = keras.activations.gelu(tf.cast(values, tf.float32), approximate)
    # Keras' own is off by several steps of 8 bits.
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), exact, rtol=2**-8, atol=1e-6
    )


@pytest.mark.parametrize("name", ["bert", "distilbert", "t5-untied", "bart", "albert"])
def test_a_model_has_them_for_a_while(name):
    change = {"t5-untied": {"feed_forward_proj": "gated-gelu"}}.get(name, {})
    model = tiny(name, **change)
    batch = tiny_batch(model)
    plain = model(batch).logits
    held = {id(each) for each in _activations(model)}
    assert held.isdisjoint({id(gelu), id(gelu_by_tanh)}) and held
    with quick_activations(model):
        within = {id(each) for each in _activations(model)}
        assert within & {id(gelu), id(gelu_by_tanh)}
        np.testing.assert_allclose(model(batch).logits, plain, rtol=1e-5, atol=1e-5)
    assert {id(each) for each in _activations(model)} == held


def test_other_activations_stay():
    config = transformers.T5Config(
        vocab_size=8, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=2
    )
    model = transformers.TFT5ForConditionalGeneration(config)
    with quick_activations(model):
        assert {id(each) for each in _activations(model)}.isdisjoint(
            {id(gelu), id(gelu_by_tanh)}
        )


def _activations(model):
    """Functions that layers hold under the names that transformers uses."""
    names = ("act", "activation", "activation_fn", "intermediate_act_fn")
    for layer in model._flatten_layers():
        for name in names:
            if callable(vars(layer).get(name)):
                yield vars(layer)[name]
