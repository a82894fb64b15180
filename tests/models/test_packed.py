"""Examples packed into rows are computed as each of them is alone."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.packed import call_packed, count_examples
from tests.packed_examples import INPUTS, ROWS, TARGETS, packed, padded
from tests.tiny_models import spread, tiny

MODELS = ["t5", "t5-untied", "mt5"]
TOLERANCE = 1e-5


def parts(values: tf.Tensor, lists) -> list[np.ndarray]:
    """What `[rows, length, ...]` of the packed batch has of each example, in order."""
    found = {}
    for place, row in enumerate(ROWS):
        end = 0
        for example in row:
            start, end = end, end + len(lists[example])
            found[example] = values[place, start:end].numpy()
    return [found[example] for example in sorted(found)]


def alone(model: keras.Model, example: int):
    batch = {"input_ids": INPUTS[example][None], "labels": TARGETS[example][None]}
    return model({name: tf.constant(ids, tf.int32) for name, ids in batch.items()})


def check_against_alone(model: keras.Model) -> None:
    outputs = call_packed(model, packed(), training=False)
    states = parts(outputs.encoder_last_hidden_state, INPUTS)
    logits = parts(outputs.logits, TARGETS)
    for example in range(len(INPUTS)):
        expected = alone(model, example)
        for found, value in (
            (states[example], expected.encoder_last_hidden_state[0]),
            (logits[example], expected.logits[0]),
        ):
            np.testing.assert_allclose(found, value, atol=TOLERANCE)


@pytest.mark.parametrize("name", MODELS)
def test_encoder_and_logits_are_those_of_each_example_alone(name):
    model = spread(tiny(name), 0.3)
    check_against_alone(model)
    # Without the segments the examples would see each other.
    one = tf.ones_like
    mixed = packed() | {name: one(packed()[name]) for name in packed() if "seg" in name}
    logits = call_packed(model, mixed, training=False).logits
    exact = call_packed(model, packed(), training=False).logits
    assert abs(logits - exact).numpy().max() > 1000 * TOLERANCE


@pytest.mark.parametrize("method", ["lora", "adapter"])
def test_layers_of_a_method_keep_examples_apart(method):
    model = spread(tiny("t5"), 0.3)
    apply_method(model, method)
    for number, variable in enumerate(model.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, (number, 1), stddev=0.2)
        variable.assign_add(noise)
    check_against_alone(model)


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_the_padded_batch(name):
    model = spread(tiny(name, dropout_rate=0.0), 0.3)
    losses, gradients = [], []
    for call in (
        lambda: model(padded(), training=True),
        lambda: call_packed(model, packed(), training=True),
    ):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(call().loss)
        losses.append(float(loss))
        found = tape.gradient(loss, model.trainable_variables)
        gradients.append([tf.convert_to_tensor(gradient).numpy() for gradient in found])
    assert losses[1] == pytest.approx(losses[0], rel=TOLERANCE)
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(other, one, atol=TOLERANCE * max(abs(one).max(), 1))


def test_examples_are_counted():
    assert int(count_examples(packed())) == len(INPUTS)
    empty = {name: value[:0] for name, value in packed().items()}
    assert int(count_examples(empty)) == 0
