"""GELU of ours against Keras', in the layers that have it."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.quick_activations import gelu, quick_activations
from tests.tiny_models import tiny, tiny_batch

# From where both tails are flat, over the middle, with numbers that float32 cannot
# tell from 0.
VALUES = np.concatenate([np.linspace(-12, 12, 4001), [-1e-20, 0, 1e-20, -80, 80]])


def value_and_gradient(function, values):
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = function(values)
    weights = tf.cast(tf.range(tf.size(values)) % 7 - 3, values.dtype) / 3
    weights = tf.reshape(weights, tf.shape(values))
    return outputs, tape.gradient(outputs, values, output_gradients=weights)


def test_values_and_gradients_are_keras_s():
    exact = value_and_gradient(keras.activations.gelu, tf.constant(VALUES, tf.float64))
    values = tf.constant(VALUES, tf.float32)
    spec = tf.TensorSpec([None], tf.float32)
    graph = tf.function(
        lambda values: value_and_gradient(gelu, values), input_signature=[spec]
    )
    for found, wanted in zip(graph(values), exact, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


def test_in_16_bits_they_are_the_nearest_number():
    values = tf.constant(VALUES, tf.bfloat16)
    outputs, gradient = value_and_gradient(gelu, values)
    assert outputs.dtype == gradient.dtype == tf.bfloat16
    exact = keras.activations.gelu(tf.cast(values, tf.float32))
    # Keras' own is off by several steps of 8 bits.
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), exact, rtol=2**-8, atol=1e-6
    )


@pytest.mark.parametrize("name", ["bert", "distilbert", "bart", "electra"])
def test_a_model_has_it_for_a_while(name):
    model = tiny(name)
    batch = tiny_batch(model)
    plain = model(batch).logits
    held = set(_activations(model))
    assert gelu not in held and held
    with quick_activations(model):
        assert gelu in set(_activations(model))
        np.testing.assert_allclose(model(batch).logits, plain, rtol=1e-5, atol=1e-5)
    assert set(_activations(model)) == held


@pytest.mark.parametrize(
    ("name", "change"), [("t5", {"feed_forward_proj": "gated-gelu"}), ("albert", {})]
)
def test_other_activations_stay(name, change):
    model = tiny(name, **change)
    with quick_activations(model):
        held = set(_activations(model))
    assert held and gelu not in held


def _activations(model):
    """Functions that layers hold under the names that transformers uses."""
    names = ("act", "activation", "activation_fn", "intermediate_act_fn")
    for layer in model._flatten_layers():
        for name in names:
            if callable(vars(layer).get(name)):
                yield vars(layer)[name]
