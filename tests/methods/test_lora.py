"""LoRA and DoRA: their formulas, their counts, their targets."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.lora import DoRA, LoRA
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.delta_layers import LoRADense, delta_layers
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.surgery import count_parameters_of_config
from tests.tiny_models import tiny

FLAN_T5_BASE = {
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
# PEFT's TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING; the last four are not in
# it and have the same roles.
DEFAULTS = {
    "t5": {"q", "v"},
    "mt5": {"q", "v"},
    "bart": {"q_proj", "v_proj"},
    "bert": {"query", "value"},
    "roberta": {"query", "value"},
    "electra": {"query", "value"},
    "deberta-v2": {"query_proj", "value_proj"},
    "distilbert": {"q_lin", "v_lin"},
    "albert": {"query", "value"},
    "mpnet": {"q", "v"},
    "mbart": {"q_proj", "v_proj"},
    "pegasus": {"q_proj", "v_proj"},
    "marian": {"q_proj", "v_proj"},
}


def dense(inputs: int = 5, outputs: int = 3, **options: object) -> keras.layers.Dense:
    layer = keras.layers.Dense(outputs, name="q", bias_initializer="ones", **options)
    with tf.name_scope("model/q/"):
        layer.build([None, inputs])
    return layer


def random_change(layer: LoRADense) -> None:
    for number, variable in enumerate(layer.delta_weights):
        values = np.random.default_rng(number).normal(size=variable.shape)
        variable.assign(tf.cast(values, variable.dtype))


def test_flan_t5_base_as_the_guide_counts_it():
    table = count_parameters_of_config(
        transformers.T5Config(**FLAN_T5_BASE),
        prepare=lambda model: apply_method(model, LoRA(rank=32, alpha=32)),
    )
    assert (table.trainable, table.total) == (3_538_944, 251_116_800)
    assert round(table.percent, 2) == 1.41
    assert table.rows[-1].part == "delta"


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_default_targets_are_pefts(name):
    sites = LoRA().sites(layout_of(tiny(name)))
    assert {site.rpartition(".")[2] for site in sites} == DEFAULTS[name]


def test_lora_computes_its_formula():
    base = dense(activation="tanh")
    layer = LoRADense(base, method=None, rank=2, scaling=1.5)
    random_change(layer)
    inputs = np.random.default_rng(9).normal(size=(2, 4, 5)).astype(np.float32)
    down, up = (variable.numpy() for variable in layer.delta_weights)
    kernel, bias = base.kernel.numpy(), base.bias.numpy()
    expected = np.tanh(inputs @ kernel + bias + 1.5 * inputs @ down @ up)
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)
    np.testing.assert_allclose(
        layer.merged()["kernel"], kernel + 1.5 * down @ up, atol=1e-5
    )


def test_dora_computes_its_formula():
    base = dense()
    layer = LoRADense(base, method=None, rank=2, scaling=0.5, use_dora=True)
    np.testing.assert_allclose(
        layer.magnitude, np.linalg.norm(base.kernel, axis=0), atol=1e-6
    )
    random_change(layer)
    inputs = np.random.default_rng(9).normal(size=(4, 5)).astype(np.float32)
    down, up, length = (variable.numpy() for variable in layer.delta_weights)
    changed = base.kernel.numpy() + 0.5 * down @ up
    kernel = length * changed / np.linalg.norm(changed, axis=0)
    np.testing.assert_allclose(layer(inputs), inputs @ kernel + 1, atol=1e-5)
    np.testing.assert_allclose(layer.merged()["kernel"], kernel, atol=1e-5)


def test_the_change_starts_as_in_pytorch():
    layer = LoRADense(dense(400, 7), method=None, rank=300, scaling=1.0)
    bound = 1 / np.sqrt(400)
    assert abs(layer.down.numpy()).max() == pytest.approx(bound, rel=0.01)
    assert layer.down.numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert not layer.up.numpy().any()


def test_dropout_acts_in_training_alone():
    layer = LoRADense(dense(), method=None, rank=2, scaling=1.0, dropout=0.5)
    random_change(layer)
    inputs = tf.ones([64, 5])
    quiet = layer(inputs, training=False).numpy()
    assert (quiet == quiet[0]).all()
    assert not (layer(inputs, training=True).numpy() == quiet).all()


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (r"decoder\..*EncDecAttention\.(k|o)", 4),
        ("all-linear", 2 * (4 + 2) + 2 * (8 + 2)),
        (("SelfAttention.q", "decoder.block.1.layer.2.DenseReluDense.wi"), 5),
        (("lm_head",), 1),
    ],
)
def test_targets(targets, expected):
    name = "t5-untied" if targets == ("lm_head",) else "t5"
    model = tiny(name)
    apply_method(model, LoRA(target_modules=targets))
    assert len(delta_layers(model)) == expected


def test_all_linear_leaves_the_head_alone():
    for name in ("t5-untied", "distilbert", "deberta-v2"):
        layout = layout_of(tiny(name))
        sites = LoRA(target_modules="all-linear").sites(layout)
        assert not {f"{site}.weight" for site in sites} & layout.head


def test_biases_and_saved_modules_train():
    layout = layout_of(tiny("bert"))
    biases = {name for name in layout.names if name.endswith(".bias")}
    every = LoRA(bias="all").trainable_names(layout)
    own = LoRA(bias="lora_only").trainable_names(layout)
    assert every == biases | {"classifier.weight"}
    queries = {n for n in biases if n.endswith(("query.bias", "value.bias"))}
    assert own == queries | layout.head
    pooler = LoRA(modules_to_save=("pooler",)).trainable_names(layout)
    assert pooler == layout.head | {n for n in layout.names if "pooler" in n}


def test_it_is_made_from_strings():
    method = make_method("lora", {"rank": "4", "target_modules": "q, v"})
    assert method == LoRA(rank=4, target_modules=("q", "v"))
    pattern = make_method("dora", {"target_modules": r".*\.(q|v)"})
    assert pattern == DoRA(target_modules=r".*\.(q|v)")
    assert pattern.use_dora
    assert make_method("lora", {"target_modules": "all-linear"}).target_modules == (
        "all-linear"
    )


def test_all_wrong_numbers_are_reported_together():
    with pytest.raises(UserError, match="(?s)3 problems.*rank=-1.*alpha.*dropout=1"):
        LoRA(rank=-1, alpha=0, dropout=1.0)
