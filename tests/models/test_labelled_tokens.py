"""Scores of the vocabulary for tokens that have a label, and no others."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.trunk import call_model
from tests.tiny_models import VOCABULARY, spread, tiny, tiny_batch


def uneven_batch(model: keras.Model) -> dict[str, tf.Tensor]:
    batch = tiny_batch(model)
    has_label = tf.sequence_mask([5, 1, 3, 2], 5)
    return {**batch, "labels": tf.where(has_label, batch["labels"], -100)}


def loss_and_gradients(model: keras.Model, *, is_open: bool) -> list[np.ndarray]:
    """In a graph whose batches are of any shape, or of one."""
    batch = uneven_batch(model)

    def compute(inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = call_model(model, inputs, training=False)
        gradients = tape.gradient(outputs.loss, model.trainable_variables)
        found = [tf.convert_to_tensor(g) for g in gradients if g is not None]
        return [tf.shape(outputs.logits), outputs.loss, *found]

    spec = {
        name: tf.TensorSpec([None, None] if is_open else value.shape, value.dtype)
        for name, value in batch.items()
    }
    graph = tf.function(compute).get_concrete_function(spec)
    return [tensor.numpy() for tensor in graph(batch)]


@pytest.mark.parametrize(
    "name", ["t5-untied", "bart", pytest.param("led", marks=pytest.mark.long)]
)
def test_loss_and_gradients_are_those_of_all_tokens(name):
    model = spread(tiny(name), 0.3)
    shape, *expected = loss_and_gradients(model, is_open=False)
    own_shape, *found = loss_and_gradients(model, is_open=True)
    assert shape.tolist() == [4, 5, VOCABULARY]
    assert own_shape.tolist() == [1, 11, VOCABULARY]
    assert any(np.abs(gradient).max() > 1e-2 for gradient in expected[1:])
    assert len(found) == len(expected) > 10
    for own, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("name", "is_open"), [("t5", True), ("led", False)])
def test_the_loss_is_the_mean_over_labels(name, is_open):
    model = spread(tiny(name), 0.3)
    batch = uneven_batch(model)
    labels = batch["labels"]
    [_, loss, *_] = loss_and_gradients(model, is_open=is_open)
    logits = model(batch, training=False).logits
    own = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.nn.relu(labels), logits)
    expected = tf.reduce_mean(tf.boolean_mask(own, labels != -100))
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "prompt", "head"])
def test_with_other_methods(method):
    model = spread(tiny("t5-untied"), 0.3)
    apply_method(model, method)
    _, *expected = loss_and_gradients(model, is_open=False)
    shape, *found = loss_and_gradients(model, is_open=True)
    assert shape.tolist() == [1, 11, VOCABULARY]
    for own, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=2e-6)
