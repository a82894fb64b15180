"""The last block of a classifier, computed for its first token alone."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.attributes import replaced
from kerastune_llm.models.trunk import call_model
from tests.tiny_models import spread, tiny, tiny_batch

SHORTENED = ("bert", "distilbert", "electra", "roberta", "xlm-roberta")
WHOLE = ("albert", "mpnet", "deberta-v2", "bart-classifier", "gpt2", "t5")


def padded_batch(model: keras.Model) -> dict[str, tf.Tensor]:
    batch = tiny_batch(model)
    mask = tf.sequence_mask([8, 3, 5, 1], 8, dtype=tf.int32)
    return {**batch, "attention_mask": mask}


def loss_and_gradients(
    model: keras.Model, outputs: Callable[[], Any]
) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        found = outputs()
        loss = tf.reduce_sum(found.loss)
    gradients = tape.gradient(loss, model.trainable_variables)
    kept = [tf.convert_to_tensor(g).numpy() for g in gradients if g is not None]
    return [found.logits.numpy(), *kept]


def positions(model: keras.Model, batch: Mapping[str, tf.Tensor]) -> list[int]:
    """How many tokens the feed-forward network of each block sees."""
    base = getattr(model, model.base_model_prefix)
    stack = getattr(base, "encoder", None) or base.transformer
    seen: list[int] = []
    with contextlib.ExitStack() as within:
        for block in stack.layer:
            name = "ffn" if hasattr(block, "ffn") else "intermediate"
            watched = partial(_watched, getattr(block, name), seen)
            within.enter_context(replaced(block, name, watched))
        call_model(model, batch, training=False)
    return seen


def _watched(layer, seen, *arguments, **options):
    hidden = arguments[0] if arguments else options["hidden_states"]
    seen.append(hidden.shape[1])
    return layer(*arguments, **options)


@pytest.mark.parametrize("name", [*SHORTENED, *WHOLE])
def test_logits_and_gradients_are_those_of_the_whole_block(name):
    model = spread(tiny(name), 0.3)
    batch = padded_batch(model)
    whole = loss_and_gradients(model, lambda: model(batch, training=False))
    ours = loss_and_gradients(model, lambda: call_model(model, batch, training=False))
    assert len(whole) == len(ours) > 10
    assert any(np.abs(gradient).max() > 1e-2 for gradient in whole[1:])
    for expected, found in zip(whole, ours, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", SHORTENED)
def test_the_last_block_is_run_for_one_token(name):
    model = tiny(name)
    assert positions(model, tiny_batch(model)) == [8, 1]


@pytest.mark.parametrize("name", ["bert", "distilbert"])
@pytest.mark.parametrize(
    "method", ["lora", "dora", "adapter", "ia3", "bitfit", "prefix", "prompt"]
)
def test_with_every_method(name, method):
    model = spread(tiny(name), 0.3)
    apply_method(model, method)
    spread(model, 0.3)
    batch = padded_batch(model)
    whole = loss_and_gradients(model, lambda: model(batch, training=False))
    ours = loss_and_gradients(model, lambda: call_model(model, batch, training=False))
    assert len(whole) == len(ours) > 1
    for expected, found in zip(whole, ours, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
