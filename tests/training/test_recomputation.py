"""Gradients of recomputed blocks are those of blocks that are kept, dropout on."""

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.training.dropout import dropout_from
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in
from kerastune_llm.training.recomputation import block_layers, recomputed
from kerastune_llm.training.step import compile_model, loss_sum
from tests.tiny_models import spread, tiny, tiny_batch
from tests.training.steps import Steps


def loss_and_gradients(
    model: keras.Model, *, use_recomputation: bool
) -> list[np.ndarray]:
    """In a graph, where TensorFlow decides what runs when."""
    variables = model.trainable_variables

    @tf.function
    def compute(batch: dict[str, tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
        with contextlib.ExitStack() as within:
            tape = within.enter_context(tf.GradientTape())
            draws = within.enter_context(dropout_from(model, 3, step))
            if use_recomputation:
                within.enter_context(recomputed(model, draws))
            loss, _ = loss_sum(model, batch, training=True)
        gradients = tape.gradient(loss, variables)
        return [loss, *(tf.convert_to_tensor(g) for g in gradients if g is not None)]

    return [t.numpy() for t in compute(tiny_batch(model), tf.constant(5))]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("t5", "full"),
        ("t5-untied", "lora"),
        ("bert", "full"),
        ("distilbert", "full"),
        ("bert", "prefix"),
    ],
)
def test_the_gradients_are_the_same(name, method):
    model = spread(tiny(name), 0.3)
    apply_method(model, method)
    kept = loss_and_gradients(model, use_recomputation=False)
    again = loss_and_gradients(model, use_recomputation=True)
    assert len(kept) == len(again) > 1
    assert any(np.abs(gradient).max() > 1e-3 for gradient in kept[1:])
    # The gradient of the keys' biases is zero but for rounding: against all of them.
    whole = np.sqrt(sum(np.square(gradient).sum() for gradient in kept[1:]))
    for one, other in zip(kept, again, strict=True):
        # Rounding; other dropout would make a difference of tenths.
        assert np.linalg.norm(other - one) <= 1e-5 * whole


@pytest.mark.parametrize(("name", "method"), [("bert", "lora"), ("t5", "full")])
def test_the_gradients_are_the_same_in_bfloat16(name, method):
    with computing_in("mixed_bfloat16", name):
        model = spread(tiny(name), 0.3)
        apply_method(model, method)
        kept = loss_and_gradients(model, use_recomputation=False)
        again = loss_and_gradients(model, use_recomputation=True)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in kept[1:])
    whole = np.sqrt(sum(np.square(gradient).sum() for gradient in kept[1:]))
    for one, other in zip(kept, again, strict=True):
        # Of 8 significant bits: sums in another order differ by one rounding.
        assert np.linalg.norm(other - one) <= 2**-8 * whole


def losses(strategy: tf.distribute.Strategy, **options: object) -> list[float]:
    """Of three updates, the last batch with fewer rows than the others."""
    with strategy.scope():
        model = spread(tiny("t5"), 0.2)
        optimizer = build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0)
        compile_model(model, optimizer, seed=7, **options)
    steps = Steps()
    batch = tiny_batch(model, rows=11)
    data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
    model.fit(data, callbacks=[steps], verbose=0)
    return [float(logs["loss"]) for logs in steps.logs]


def test_training_goes_the_same_way_in_parts():
    one = tf.distribute.get_strategy()
    kept = losses(one, accumulate_steps=2)
    again = losses(one, accumulate_steps=2, use_recomputation=True)
    np.testing.assert_allclose(again, kept, rtol=1e-6)


def test_xla_is_refused():
    with pytest.raises(UserError, match="leave out --runtime.jit"):
        losses(tf.distribute.get_strategy(), jit=True, use_recomputation=True)


@pytest.mark.long
def test_training_goes_the_same_way_on_two_replicas():
    script = Path(__file__).with_name("recompute_replicas.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_an_architecture_without_blocks_is_refused_before_training():
    model = tiny("flaubert")
    with pytest.raises(UserError, match="a block of a flaubert model is not one layer"):
        compile_model(model, keras.optimizers.SGD(0.1), use_recomputation=True)
    assert len(block_layers(tiny("bert"))) == 2
    # One layer, passed twice.
    assert len(block_layers(tiny("albert"))) == 1
