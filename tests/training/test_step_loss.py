"""The loss of a batch and of a dataset, against transformers' own loss."""

import gc
import weakref

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.training.step import evaluate_loss, loss_sum
from tests.tiny_models import tiny, tiny_batch
from tests.training.steps import dataset, own_loss, uneven, with_labels

ARCHITECTURES = (
    "t5",
    "bart",
    "pegasus",
    "bert",
    "distilbert",
    "deberta-v2",
    "bart-classifier",
    "gpt2",
)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loss_is_the_models_own(name):
    model = tiny(name)
    batch = tiny_batch(model, rows=3)
    total, count = loss_sum(model, batch, training=False)
    assert float(total / count) == pytest.approx(own_loss(model, batch), rel=1e-6)
    assert int(count) == tf.size(batch["labels"])


def test_rows_without_a_label_are_left_out():
    model = tiny("bert")
    batch = tiny_batch(model, rows=4)
    two = {name: value[:2] for name, value in batch.items()}
    marked = with_labels(batch, [0, 1, -100, -100])
    total, count = loss_sum(model, marked, training=False)
    expected, _ = loss_sum(model, two, training=False)
    assert float(total) == pytest.approx(float(expected), rel=1e-6)
    assert float(count) == 2


def test_regression():
    model = tiny("bert", num_labels=1)
    batch = with_labels(tiny_batch(model), [0.5, -1.0, 2.0, 0.0])
    logits = model(batch, training=False).logits[:, 0]
    expected = np.mean((logits.numpy() - [0.5, -1.0, 2.0, 0.0]) ** 2)
    total, count = loss_sum(model, batch, training=False)
    assert float(total / count) == pytest.approx(expected, rel=1e-5)


def test_evaluation_weights_tokens_not_batches():
    model = tiny("t5")
    batches = uneven(model)
    means = [own_loss(model, batch) for batch in batches]
    expected = (10 * means[0] + 2 * means[1]) / 12
    assert evaluate_loss(model, dataset(*batches)) == pytest.approx(expected, rel=1e-5)


def test_evaluation_sees_new_weights_and_new_layers():
    model = tiny("bert")
    batches = dataset(tiny_batch(model))
    first = evaluate_loss(model, batches)
    model.classifier.bias.assign([3.0, 0.0, 0.0])
    second = evaluate_loss(model, batches)
    assert second != pytest.approx(first)
    widened = keras.layers.Dense(3, bias_initializer="ones", name="other")
    model.classifier = widened
    total, count = loss_sum(model, tiny_batch(model), training=False)
    assert evaluate_loss(model, batches) == pytest.approx(float(total / count), 1e-6)


def test_evaluation_does_not_keep_the_model_alive():
    model = tiny("bert")
    evaluate_loss(model, dataset(tiny_batch(model)))
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"input_ids": b["input_ids"]}, "The batches have no labels."),
        (lambda b: (b, b["labels"], b["labels"]), "Sample weights are not supported"),
        (lambda b: with_labels(b, [-100] * 4), "There is no label in|to compute"),
    ],
)
def test_evaluation_refuses(change, message):
    model = tiny("bert")
    batches = tf.data.Dataset.from_tensors(change(tiny_batch(model)))
    with pytest.raises(UserError, match=message):
        evaluate_loss(model, batches)
