"""Calling a model in a graph, with AutoGraph only where its code needs it."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.as_written import call_as_written
from tests.tiny_models import tiny, tiny_batch


def open_spec(batch):
    """Specs of the batch for any sizes, as a dataset of batches has them."""
    return {n: tf.TensorSpec([None] * v.shape.rank, v.dtype) for n, v in batch.items()}


def as_it_is(function):
    return tf.function(tf.autograph.experimental.do_not_convert(function))


@pytest.mark.parametrize("name", ["bert", "t5", "bart"])
@pytest.mark.parametrize("made_graph", [tf.function, as_it_is])
def test_a_graph_computes_what_the_model_does(name, made_graph):
    model = tiny(name)
    batch = tiny_batch(model)
    graph = made_graph(lambda inputs: call_as_written(model, inputs, training=False))
    outputs = graph.get_concrete_function(open_spec(batch))(batch)
    wanted = model(batch, training=False)
    np.testing.assert_allclose(outputs["logits"], wanted.logits, atol=1e-5)
    np.testing.assert_allclose(outputs["loss"], wanted.loss, rtol=1e-5)


def test_code_that_needs_no_autograph_is_not_rewritten(monkeypatch):
    model = tiny("bert")
    batch = tiny_batch(model)
    seen = set()
    call = keras.layers.Layer.__call__

    def watched(layer, *arguments, **options):
        seen.add(tf.__internal__.autograph.control_status_ctx().status.name)
        return call(layer, *arguments, **options)

    monkeypatch.setattr(keras.layers.Layer, "__call__", watched)
    tf.function(lambda: call_as_written(model, batch, training=True).loss)()
    assert seen == {"DISABLED"}


def test_code_that_branches_on_tensors_is_refused_as_it_is():
    model = tiny("bart")
    batch = tiny_batch(model)
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        as_it_is(model).get_concrete_function(open_spec(batch))
