"""BitFit: which vectors train, what it adds to a model without biases, its file."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.bitfit import BitFit
from kerastune_llm.methods.merge import merge_delta
from kerastune_llm.methods.peft_format import load_adapter, save_adapter
from kerastune_llm.models.adapter_layers import BiasDense
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import (
    CLASSIFIERS,
    SEQ2SEQ,
    spread,
    tiny,
    tiny_batch,
    train_steps,
)

WITHOUT_BIASES = ("t5", "t5-untied", "mt5")


def logits(model: keras.Model) -> np.ndarray:
    return model(tiny_batch(model)).logits.numpy()


def trained_names(model: keras.Model) -> set[str]:
    trained = {id(variable) for variable in model.trainable_variables}
    parameters = torch_parameters(model).items()
    return {name for name, p in parameters if id(p.variable) in trained}


def test_it_computes_its_formula():
    base = keras.layers.Dense(3, name="q", use_bias=False, activation="tanh")
    with tf.name_scope("model/q/"):
        base.build([None, 5])
    layer = BiasDense(base, method=None)
    inputs = np.random.default_rng(4).normal(size=(2, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(inputs), base(inputs))
    layer.bias.assign([1.0, -2.0, 0.5])
    expected = np.tanh(inputs @ base.kernel.numpy() + [1.0, -2.0, 0.5])
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_all_vectors_and_the_head_train_and_nothing_else(name):
    # Biases and the weights of norms are what has one axis.
    model = tiny(name)
    layout, parameters = layout_of(model), torch_parameters(model).items()
    vectors = {n for n, p in parameters if len(p.shape) == 1 and n not in layout.fixed}
    head = layout.head if layout.is_classifier else set()
    assert BitFit().trainable_names(layout) == vectors | head
    assert bool(BitFit().sites(layout)) == (name in WITHOUT_BIASES)


@pytest.mark.parametrize(
    ("name", "gated"), [("t5", False), ("t5-untied", True), ("mt5", True)]
)
def test_the_count_is_the_formula(name, gated):
    model = tiny(name)
    table = apply_method(model, "bitfit")
    config = model.config
    heads, width, inner = config.num_heads * config.d_kv, config.d_model, config.d_ff
    attention = 3 * heads + width  # q, k, v and o
    feed_forward = (2 if gated else 1) * inner + width
    blocks = config.num_layers  # in each stack; the decoder's have two attentions
    added = blocks * (3 * attention + 2 * feed_forward)
    norms = width * (blocks * (2 + 3) + 2)
    assert table.trainable == added + norms
    assert {row.part: row.total for row in table.rows}["delta"] == added
    assert len(delta_layers(model)) == blocks * (3 * 4 + 2 * (3 if gated else 2))


def test_a_module_that_trains_whole_gets_no_bias():
    whole = "encoder.block.0.layer.0.SelfAttention.q"
    layout = layout_of(tiny("t5"))
    method = BitFit(modules_to_save=(whole,))
    assert {*BitFit().sites(layout)} - {*method.sites(layout)} == {whole}
    assert f"{whole}.weight" in method.trainable_names(layout)


@pytest.mark.parametrize("name", ["bert", "albert", "deberta-v2", "bart"])
def test_a_model_with_biases_is_a_plain_model_still(name, tmp_path):
    model = spread(tiny(name), 0.2)
    apply_method(model, "bitfit")
    train_steps(model)
    assert not delta_layers(model)
    with pytest.raises(UserError, match="(?s)no layers.*save_model"):
        merge_delta(model)
    save_model(model, None, tmp_path / "model")
    np.testing.assert_array_equal(logits(load_model(tmp_path / "model")), logits(model))


@pytest.mark.parametrize("name", ["t5", "bert", "bart"])
def test_there_and_back_with_what_it_trained_alone(name, tmp_path, caplog):
    model = spread(tiny(name), 0.2)
    apply_method(model, "bitfit")
    train_steps(model)
    names = trained_names(model)
    folder = tmp_path / "adapter"
    with caplog.at_level("INFO"):
        save_adapter(model, folder, base_model="", method=BitFit())
    assert "PEFT has no form for bitfit" in caplog.text
    stored = load_file(folder / "adapter_model.safetensors")
    assert len(stored) == len(names)
    assert all(key.startswith("base_model.model.") for key in stored)
    fresh = spread(tiny(name), 0.2)
    assert load_adapter(fresh, folder) == BitFit()
    np.testing.assert_array_equal(logits(fresh), logits(model))
    assert trained_names(fresh) == names


def test_where_it_added_nothing_saving_needs_its_name(tmp_path):
    model = tiny("bert")
    apply_method(model, "bitfit")
    with pytest.raises(UserError, match=r"(?s)no adapter to save.*method=BitFit\(\)"):
        save_adapter(model, tmp_path / "adapter", base_model="")


def test_the_configuration_says_that_peft_cannot_open_it(tmp_path):
    model = tiny("bert")
    apply_method(model, "bitfit", modules_to_save=("pooler",))
    method = BitFit(modules_to_save=("pooler",))
    save_adapter(model, tmp_path / "adapter", base_model="base", method=method)
    values = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert values["peft_type"] == "KERASTUNE_BITFIT"
    assert "bitfit: PEFT has none" in values["note"]
    assert values["modules_to_save"] == ["classifier", "pooler"]
    assert values["base_model_name_or_path"] == "base"
