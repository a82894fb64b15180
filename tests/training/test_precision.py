"""Frozen matrices in bfloat16, the same numbers out; the loss scale of float16."""

from types import SimpleNamespace

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.merge import merge_delta
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in, store_frozen
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch
from tests.training.one_weight import OneWeight, fit
from tests.training.steps import Steps

# The smallest number of float16 is 2**-24, and what is below half of it rounds to zero.
FAINT = 2.0**-26


class Faint(OneWeight):
    """Its gradient is FAINT, on the way from a float32 loss to a float16 weight."""

    def call(self, inputs: dict, training: bool = False) -> SimpleNamespace:
        weight = tf.cast(super().call(inputs).loss, tf.float32)
        return SimpleNamespace(loss=weight * FAINT)


def trained(name: str, *, is_stored: bool) -> tuple[keras.Model, list[float]]:
    """A model with LoRA after three updates, and their losses."""
    model = spread(tiny(name), 0.2)
    keras.utils.set_random_seed(3)
    apply_method(model, "lora")
    if is_stored:
        store_frozen(model)
    optimizer = build_optimizer("sgd", learning_rate=0.1)
    compile_model(model, optimizer, seed=5)
    steps = Steps()
    data = tf.data.Dataset.from_tensors(tiny_batch(model)).repeat(3)
    model.fit(data, callbacks=[steps], verbose=0)
    return model, [float(logs["loss"]) for logs in steps.logs]


@pytest.mark.parametrize("name", ["bert", "t5-untied"])
def test_what_is_computed_is_that_of_mixed_bfloat16(name):
    with computing_in("bfloat16", name):
        mixed, losses = trained(name, is_stored=False)
        stored, losses_stored = trained(name, is_stored=True)
    np.testing.assert_array_equal(losses_stored, losses)
    trains = {id(variable) for variable in stored.trainable_variables}
    before = torch_parameters(mixed)
    for key, parameter in torch_parameters(stored).items():
        # Keras' own embedding is not rounded where it is looked up.
        is_float32 = id(parameter.variable) in trains or len(parameter.shape) < 2
        is_float32 = is_float32 or key == "shared.weight"
        expected = tf.float32 if is_float32 else tf.bfloat16
        assert parameter.variable.dtype == expected, key
        value = before[key].to_torch()
        if not is_float32:
            value = value.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)
        assert parameter.to_torch().dtype == np.float32
        np.testing.assert_array_equal(parameter.to_torch(), value, err_msg=key)
    with pytest.raises(UserError, match="kept in bfloat16, which cannot hold the chan"):
        merge_delta(stored)


def test_nothing_frozen_is_refused():
    with computing_in("bfloat16", "bert"):
        model = tiny("bert")
    with pytest.raises(UserError, match="--runtime.precision mixed_bfloat16"):
        store_frozen(model)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("scale", "moves"), [(2.0**15, 2.0**-6), (1.0, 0.0)])
def test_gradients_too_small_for_float16_are_scaled(scale, moves, parts):
    with computing_in("mixed_float16", "bert"):
        model = Faint()
        optimizer = build_optimizer("sgd", learning_rate=2.0**20, momentum=0.0)
        compile_model(model, optimizer, accumulate_steps=parts)
        assert float(model.optimizer.loss_scale) == 2.0**15  # Keras' own beginning.
        model.optimizer._loss_scale.current_loss_scale.assign(scale)
        fit(model, steps=1)
    assert model.weight.numpy() == 1 - moves
