"""Freezing leaves, seen by plain Keras, and counting parameters by part."""

from collections.abc import Callable

import pytest

from kerastune_llm.backend import keras, transformers
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.surgery import (
    count_parameters,
    count_parameters_of_config,
    set_trainable,
    table_rows,
)
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import CLASSIFIERS, SEQ2SEQ, tiny, tiny_batch, train_steps

FLAN_T5_BASE = {
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_decoder_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}


def trainable_names(model: keras.Model) -> set[str]:
    """PyTorch names of what plain Keras would train."""
    trainable = {id(variable) for variable in model.trainable_variables}
    parameters = torch_parameters(model).items()
    return {name for name, p in parameters if id(p.variable) in trainable}


def moved_by(model: keras.Model, train: Callable[[], None]) -> set[str]:
    """PyTorch names of the parameters whose value `train` changes."""
    before = {name: p.to_torch().copy() for name, p in torch_parameters(model).items()}
    train()
    after = torch_parameters(model)
    return {n for n in before if (before[n] != after[n].to_torch()).any()}


def fit(model: keras.Model) -> None:
    """Three epochs of plain Keras on one batch."""
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(tiny_batch(model), epochs=3, verbose=0)


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_exactly_the_named_variables_train(name):
    model = tiny(name)
    layout = layout_of(model)
    everything = layout.names - layout.fixed
    born = [variable.name for variable in model.weights]
    biases = {n for n in everything if n.endswith(("bias", "relative_attention_bias"))}
    block = layout.blocks[layout.head_stack][0].parameters
    one_matrix = {sorted(n for n in block if n.endswith(".weight"))[0]}
    for names in (biases, block, set(), one_matrix, layout.head - layout.fixed):
        set_trainable(model, names)
        assert trainable_names(model) == names
        assert len(model.weights) == len(born)
    set_trainable(model, layout.names)
    assert trainable_names(model) == everything
    if not layout.fixed:
        assert [variable.name for variable in model.weights] == born


def test_fit_moves_the_chosen_and_nothing_else_and_summary_agrees():
    model = tiny("t5")
    chosen = {"decoder.final_layer_norm.weight", "shared.weight"}
    set_trainable(model, chosen)
    assert moved_by(model, lambda: fit(model)) == chosen
    lines = []
    model.summary(print_fn=lines.append)
    # shared [64, 16] and one norm [16]
    assert any("Trainable params: 1040 " in line for line in lines)


def test_a_compiled_model_follows_a_later_freezing():
    model = tiny("bert")
    fit(model)
    set_trainable(model, {"classifier.weight"})
    moved = moved_by(model, lambda: model.fit(tiny_batch(model), verbose=0))
    assert moved == {"classifier.weight"}


def test_a_layer_of_which_only_the_bias_trains_keeps_its_matrix():
    model = tiny("bert")
    name = "bert.encoder.layer.1.attention.self.query"
    set_trainable(model, {f"{name}.bias"})
    assert moved_by(model, lambda: train_steps(model)) == {f"{name}.bias"}


def test_the_shared_embedding_stays_frozen_in_fit():
    # Keras puts the layers' flags back in fit, and the embedding has three parents.
    model = tiny("t5-untied")
    names = layout_of(model).part("decoder")
    set_trainable(model, names)
    assert moved_by(model, lambda: fit(model)) == names


def test_an_unknown_name_changes_nothing():
    model = tiny("bert")
    set_trainable(model, {"classifier.bias"})
    with pytest.raises(KeyError, match="classifier.kernel"):
        set_trainable(model, {"classifier.kernel", "classifier.weight"})
    assert trainable_names(model) == {"classifier.bias"}


def test_counts_by_part_of_a_tied_t5_by_hand():
    model = tiny("t5")
    set_trainable(model, {"shared.weight"})
    width, inner, heads, vocabulary, buckets = 16, 32, 2, 64, 32
    attention, feed_forward = 4 * width * 8 * heads, 2 * width * inner
    encoder = 2 * (attention + feed_forward + 2 * width) + buckets * heads + width
    decoder = 2 * (2 * attention + feed_forward + 3 * width) + buckets * heads + width
    shared = vocabulary * width
    total = shared + encoder + decoder
    assert table_rows(count_parameters(model)) == [
        ("embeddings (tied: also the head)", shared, shared, 100.0),
        ("encoder", encoder, 0, 0.0),
        ("decoder", decoder, 0, 0.0),
        ("all", total, shared, pytest.approx(100 * shared / total)),
    ]


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_the_count_is_keras_own(name):
    model = tiny(name)
    table = count_parameters(model)
    assert table.total == model.count_params()
    trainable = sum(v.shape.num_elements() for v in model.trainable_variables)
    assert table.trainable == trainable


def test_flan_t5_base_from_its_configuration_alone():
    table = count_parameters_of_config(transformers.T5Config(**FLAN_T5_BASE))
    assert table.total == 247_577_856
    assert {row.part: row.total for row in table.rows}["head"] == 32128 * 768


@pytest.mark.parametrize("name", ["t5", "bart", "bert", "albert"])
def test_the_count_of_a_configuration_is_the_built_model_s(name):
    model = tiny(name)
    assert count_parameters_of_config(model.config).total == model.count_params()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The initializer .* is unseeded")
def test_flan_t5_base_built():
    model = transformers.TFT5ForConditionalGeneration(
        transformers.T5Config(**FLAN_T5_BASE)
    )
    model.build_in_name_scope()
    assert count_parameters(model).total == 247_577_856
