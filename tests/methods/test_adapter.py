"""Adapters: their formula, where they stand, how many weights they are."""

from math import erf

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.adapter import Adapter
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.adapter_layers import AdapterDense
from kerastune_llm.models.delta_layers import delta_layers
from kerastune_llm.models.layout import layout_of
from tests.tiny_models import CLASSIFIERS, tiny

# Ends of the projections that write the output of attention and of feed-forward;
# tiny models have two blocks in each stack, of which ALBERT's share one layer.
PROJECTIONS = {
    "t5": ("o", "wo", 4 + 2, 4),
    "bart": ("out_proj", "fc2", 4 + 2, 4),
    "bert": ("attention.output.dense", "output.dense", 2, 2),
    "deberta-v2": ("attention.output.dense", "output.dense", 2, 2),
    "distilbert": ("out_lin", "lin2", 2, 2),
    "albert": ("attention.dense", "ffn_output", 1, 1),
}


def gelu(x: np.ndarray) -> np.ndarray:
    """x Φ(x), with the error function of the standard library."""
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": gelu,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def dense(inputs: int, outputs: int, **options: object) -> keras.layers.Dense:
    layer = keras.layers.Dense(outputs, name="o", bias_initializer="ones", **options)
    with tf.name_scope("model/o/"):
        layer.build([None, inputs])
    return layer


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_it_computes_its_formula(activation):
    base = dense(5, 3)
    layer = AdapterDense(
        base, method=None, bottleneck=2, activation=activation, scaling=0.7
    )
    rng = np.random.default_rng(4)
    for variable in layer.delta_weights:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    down, d, up, u = (variable.numpy() for variable in layer.delta_weights)
    inputs = rng.normal(size=(2, 4, 5)).astype(np.float32)
    y = inputs @ base.kernel.numpy() + 1
    expected = y + 0.7 * (FUNCTIONS[activation](y @ down + d) @ up + u)
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)


def test_it_starts_as_the_dense_layer_and_draws_as_pytorch():
    base = dense(5, 400)
    layer = AdapterDense(base, method=None, bottleneck=300, activation="relu")
    inputs = np.random.default_rng(4).normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(inputs), base(inputs))
    # PyTorch's nn.Linear: uniform within 1 / sqrt(inputs).
    assert abs(layer.down.numpy()).max() == pytest.approx(1 / 20, rel=0.01)
    assert layer.down.numpy().std() == pytest.approx(1 / 20 / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("name", PROJECTIONS)
def test_where_it_stands(name, placement):
    output, last, attentions, feed_forwards = PROJECTIONS[name]
    sites = Adapter(placement=placement).sites(layout_of(tiny(name)))
    after_attention = [site for site in sites if site.endswith(f".{output}")]
    others = set(sites) - set(after_attention)
    assert len(after_attention) == (attentions if placement == "houlsby" else 0)
    assert len(others) == feed_forwards
    assert all(site.endswith(f".{last}") for site in others)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_the_count_is_the_formula(name):
    model = tiny(name)
    plain = model.count_params()
    table = apply_method(model, "adapter", bottleneck=5)
    _, _, attentions, feed_forwards = PROJECTIONS[name]
    width, bottleneck = 16, 5
    each = 2 * width * bottleneck + bottleneck + width
    added = (attentions + feed_forwards) * each
    head = {row.part: row.total for row in table.rows}.get("head", 0)
    assert table.trainable == added + (head if name in CLASSIFIERS else 0)
    assert table.total == plain + added


def test_by_default_it_is_a_sixteenth_of_the_width():
    model = tiny("t5", d_model=256)
    apply_method(model, "adapter")
    assert {layer.down.shape[1] for layer in delta_layers(model)} == {16}


def test_names_are_pytorchs():
    model = tiny("t5")
    apply_method(model, "adapter")
    stem = "encoder.block.0.layer.0.SelfAttention.o"
    parts = ("adapter_down.weight", "adapter_down.bias")
    parts += ("adapter_up.weight", "adapter_up.bias")
    assert {f"{stem}.{part}" for part in parts} <= layout_of(model).part("delta")


def test_a_module_that_trains_whole_has_no_adapter():
    model = tiny("bert")
    apply_method(model, "adapter", modules_to_save=("encoder.layer.1.output.dense",))
    assert len(delta_layers(model)) == 4 - 1


def test_no_place_is_refused_with_what_works():
    model = tiny("gpt2")
    with pytest.raises(UserError, match="(?s)no known place.*gpt2.*--method lora"):
        apply_method(model, "adapter")
    assert not delta_layers(model)


def test_all_wrong_fields_are_reported_together():
    wrong = {"bottleneck": 0, "placement": "both", "scaling": 0.0}
    with pytest.raises(UserError, match="(?s)3 problems.*bottleneck=0.*both.*scaling"):
        Adapter(**wrong)


def test_it_is_made_from_strings():
    made = make_method("adapter", {"bottleneck": "12", "activation": "gelu"})
    assert made == Adapter(bottleneck=12, activation="gelu")
