"""Dropout is decided by the seed and the step, and by nothing else."""

import random

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.training.dropout import dropout_from
from tests.tiny_models import tiny, tiny_batch


def logits(model: keras.Model, seed: int, *numbers: int) -> np.ndarray:
    with dropout_from(model, seed, *map(tf.constant, numbers)):
        return model(tiny_batch(model), training=True).logits.numpy()


@pytest.mark.parametrize("name", ["t5", "bert", "bart", "deberta-v2"])
def test_the_same_numbers_drop_the_same(name):
    model = tiny(name)
    first = logits(model, 1, 5, 0)
    logits(model, 2, 9)
    tf.random.set_seed(77)
    np.testing.assert_array_equal(logits(model, 1, 5, 0), first)
    for other in ((2, 5, 0), (1, 6, 0), (1, 5, 1), (1, 0, 5)):
        assert (logits(model, *other) != first).any()


def test_layers_drop_apart_and_at_their_rate():
    model = keras.Sequential([keras.layers.Dropout(0.25), keras.layers.Dropout(0.25)])
    model.build([None, 100_000])
    with dropout_from(model, 3):
        kept = model(tf.ones([1, 100_000]), training=True).numpy() != 0
    # Standard deviation of the share that both keep: 0.0016.
    assert kept.mean() == pytest.approx(0.75**2, abs=0.01)


def test_under_xla_it_drops_the_same():
    """The numbers come in as arguments, or TensorFlow would compute them beforehand."""
    layer = keras.layers.Dropout(0.25)
    model = keras.Sequential([layer, keras.layers.Activation("linear"), layer])
    model.build([None, 5, 7])

    def dropped(step: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        with dropout_from(model, 2**32 - 1, step, tf.constant(1)):
            return model(inputs, training=True)

    arguments = tf.constant(7, tf.int64), tf.random.uniform([3, 5, 7], 1.0, 2.0)
    in_graph = tf.function(dropped)(*arguments).numpy()
    compiled = tf.function(dropped, jit_compile=True)(*arguments).numpy()
    np.testing.assert_array_equal(in_graph, compiled)
    assert 0 < (in_graph == 0).mean() < 1


def test_nothing_of_it_stays():
    model = tiny("deberta-v2")
    model(tiny_batch(model))
    before = [set(vars(layer)) for layer in model._flatten_layers()]
    state = random.getstate()
    logits(model, 1)
    assert [set(vars(layer)) for layer in model._flatten_layers()] == before
    assert random.getstate() == state
    batch = tiny_batch(model)
    free = [model(batch, training=True).logits.numpy() for _ in range(2)]
    assert (free[0] != free[1]).any()
