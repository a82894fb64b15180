"""IA3: its formula, and which modules it scales."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.ia3 import IA3
from kerastune_llm.models.delta_layers import IA3Dense, delta_layers
from kerastune_llm.models.layout import layout_of
from tests.tiny_models import tiny

# PEFT's TRANSFORMERS_MODELS_TO_IA3_{TARGET,FEEDFORWARD}_MODULES_MAPPING; from
# distilbert on, keys, values and the second feed-forward layer.
DEFAULTS = {
    "t5": ({"k", "v", "wo"}, {"wo"}),
    "mt5": ({"k", "v", "wi_1"}, set()),
    "bart": ({"q_proj", "v_proj", "fc2"}, {"fc2"}),
    "bert": ({"key", "value", "output.dense"}, {"output.dense"}),
    "roberta": ({"key", "value", "output.dense"}, {"output.dense"}),
    "deberta-v2": ({"key_proj", "value_proj", "output.dense"}, {"output.dense"}),
    "distilbert": ({"k_lin", "v_lin", "lin2"}, {"lin2"}),
    "albert": ({"key", "value", "ffn_output"}, {"ffn_output"}),
    "pegasus": ({"k_proj", "v_proj", "fc2"}, {"fc2"}),
}


@pytest.mark.parametrize("is_feedforward", [False, True])
def test_it_computes_its_formula(is_feedforward):
    base = keras.layers.Dense(3, name="k", bias_initializer="ones")
    with tf.name_scope("model/k/"):
        base.build([None, 5])
    layer = IA3Dense(base, method=None, is_feedforward=is_feedforward)
    scale = np.arange(1, 6 if is_feedforward else 4, dtype=np.float32)
    layer.scale.assign(scale.reshape(layer.scale.shape))
    inputs = np.random.default_rng(9).normal(size=(2, 4, 5)).astype(np.float32)
    kernel = base.kernel.numpy()
    if is_feedforward:
        expected = (inputs * scale) @ kernel + 1
    else:
        expected = (inputs @ kernel + 1) * scale
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)
    for name, value in layer.merged().items():
        getattr(base, name).assign(value)
    np.testing.assert_allclose(base(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_defaults_are_pefts(name):
    layout = layout_of(tiny(name))
    targets, feedforward = DEFAULTS[name]
    assert set(IA3().targets(layout)) == targets
    assert set(IA3().feedforward(layout)) == feedforward
    assert IA3().sites(layout)


def test_the_count_is_the_formula():
    model = tiny("t5")
    table = apply_method(model, "ia3")
    width, inner, attentions, blocks = 16, 32, 6, 4
    # keys and values have 2 heads of 8
    assert table.trainable == attentions * 2 * width + blocks * inner
    scaled = [layer for layer in delta_layers(model) if layer.is_feedforward]
    assert len(scaled) == blocks


def test_feedforward_modules_have_to_be_targets():
    with pytest.raises(UserError, match="(?s)among the target modules.*wi"):
        IA3(target_modules=("k", "wo"), feedforward_modules=("wi",))
