"""Frozen matrices in bfloat16: half of the memory, the same numbers out."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in, store_frozen
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch
from tests.training.steps import Steps


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


def test_nothing_frozen_is_refused():
    with computing_in("bfloat16", "bert"):
        model = tiny("bert")
    with pytest.raises(UserError, match="--runtime.precision mixed_bfloat16"):
        store_frozen(model)
