"""Which parameters each freezing method trains, and that training keeps to them."""

import logging

import pytest

from kerastune_llm.backend import keras, transformers
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.freezing import Freeze, Full, Head, LastN
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.torch_layout import torch_parameters
from tests.tiny_models import CLASSIFIERS, SEQ2SEQ, tiny, train_steps

FEW = ("t5", "t5-untied", "bart", "bert", "deberta-v2")
HEAD_MODULES = {
    "t5": ("shared",),
    "t5-untied": ("lm_head",),
    "mt5": ("lm_head",),
    "led": ("led.shared",),
    **dict.fromkeys(
        ("bart", "mbart", "pegasus", "marian", "blenderbot", "blenderbot-small"),
        ("model.shared",),
    ),
    "bart-classifier": ("classification_head",),
    "distilbert": ("pre_classifier", "classifier"),
    "deberta-v2": ("pooler", "classifier"),
    "flaubert": ("sequence_summary",),
    "gpt2": ("score",),
}
# Weights the forward pass does not read: no method can move them.
UNUSED = {"mpnet": "mpnet.pooler.", "led": "_global."}


def trained(model: keras.Model) -> set[str]:
    """PyTorch names of what plain Keras trains."""
    trainable = {id(variable) for variable in model.trainable_variables}
    parameters = torch_parameters(model).items()
    return {name for name, p in parameters if id(p.variable) in trainable}


def check_moves_what_it_trains(model: keras.Model, name: str) -> None:
    """Three real steps move every trainable weight and leave the others bit-equal."""
    names = {n for n in trained(model) if UNUSED.get(name, "\0") not in n}
    before = {n: p.to_torch().copy() for n, p in torch_parameters(model).items()}
    train_steps(model)
    after = torch_parameters(model)
    assert {n for n in before if (before[n] != after[n].to_torch()).any()} == names


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_full_trains_every_weight_pytorch_would(name):
    model = tiny(name)
    apply_method(model, "full")
    layout = layout_of(model)
    assert trained(model) == layout.names - layout.fixed


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_head_trains_the_head_alone(name):
    model = tiny(name)
    apply_method(model, "head")
    modules = HEAD_MODULES.get(name, ("classifier",))
    prefixes = tuple(f"{module}." for module in modules)
    expected = {n for n in torch_parameters(model) if n.startswith(prefixes)}
    assert expected
    assert trained(model) == expected


@pytest.mark.parametrize("method", [Full(), Head(), LastN(blocks=1)])
@pytest.mark.parametrize("name", FEW)
def test_training_keeps_to_the_method(name, method):
    model = tiny(name)
    apply_method(model, method)
    check_moves_what_it_trains(model, name)


@pytest.mark.long
@pytest.mark.parametrize("method", [Head(), LastN(blocks=1)])
@pytest.mark.parametrize("name", [*SEQ2SEQ, *CLASSIFIERS])
def test_training_keeps_to_the_method_everywhere(name, method):
    model = tiny(name)
    apply_method(model, method)
    check_moves_what_it_trains(model, name)


@pytest.mark.parametrize("name", sorted(set(SEQ2SEQ) - {"t5-untied", "mt5"}))
def test_a_tied_head_says_that_the_embeddings_move(name, caplog):
    with caplog.at_level(logging.WARNING):
        apply_method(tiny(name), "head")
    assert "embeddings of the input too" in caplog.text


def test_an_untied_head_and_full_say_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        apply_method(tiny("t5-untied"), "head")
        apply_method(tiny("t5"), "full")
    assert not caplog.text


LAST_ONE = {
    "t5-untied": ("decoder.block.1.", "decoder.final_layer_norm.", "lm_head."),
    "t5": ("decoder.block.1.", "decoder.final_layer_norm.", "shared."),
    "bart": ("model.decoder.layers.1.", "model.shared."),
    "pegasus": (
        "model.decoder.layers.1.",
        "model.decoder.layer_norm.",
        "model.shared.",
    ),
    "bart-classifier": ("model.decoder.layers.1.", "classification_head."),
    "bert": ("bert.encoder.layer.1.", "bert.pooler.", "classifier."),
    "distilbert": ("distilbert.transformer.layer.1.", "pre_classifier.", "classifier."),
    "roberta": ("roberta.encoder.layer.1.", "classifier."),
    "albert": (
        "albert.encoder.albert_layer_groups.0.",
        "albert.pooler.",
        "classifier.",
    ),
    "deberta-v2": ("deberta.encoder.layer.1.", "pooler.", "classifier."),
    "gpt2": ("transformer.h.1.", "transformer.ln_f.", "score."),
}


@pytest.mark.parametrize("name", sorted(LAST_ONE))
def test_last_n_trains_the_block_before_the_head_and_what_follows(name):
    model = tiny(name)
    apply_method(model, LastN(blocks=1))
    expected = {n for n in torch_parameters(model) if n.startswith(LAST_ONE[name])}
    assert trained(model) == expected


def test_last_n_beyond_the_stack_names_the_count():
    with pytest.raises(UserError, match="decoder of this t5 has 2 blocks"):
        apply_method(tiny("t5"), "last_n", blocks=3)
    with pytest.raises(UserError, match="encoder of this albert has 1 block "):
        apply_method(tiny("albert"), "last_n")


def test_freeze_matches_modules_and_parameters():
    model = tiny("t5-untied", num_layers=11, num_decoder_layers=2)
    patterns = ("encoder.block.1", "*.EncDecAttention.q.weight", "lm_head")
    apply_method(model, Freeze(train=patterns))
    expected = {
        name
        for name in torch_parameters(model)
        if name.startswith("encoder.block.1.")
        or name.endswith("EncDecAttention.q.weight")
        or name == "lm_head.weight"
    }
    assert trained(model) == expected
    layout = layout_of(model)
    with_dots = Freeze(train=("encoder.block.1.*",)).trainable_names(layout)
    assert with_dots == Freeze(train=("encoder.block.1",)).trainable_names(layout)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("decoder.blok.1.*", r"Did you mean decoder\.block\.1"),
        ("lm_heed", "Did you mean lm_head"),
        ("Decoder.block.1.*", r"Did you mean .*decoder\.block\.1"),
    ],
)
def test_a_pattern_matching_nothing_names_the_nearest(pattern, message):
    with pytest.raises(UserError, match=message):
        apply_method(tiny("t5-untied"), Freeze(train=("lm_head", pattern)))


def test_a_pattern_of_fixed_weights_is_refused():
    with pytest.raises(UserError, match="never train"):
        apply_method(tiny("pegasus"), "freeze", train="*.embed_positions")


def test_a_model_without_a_head():
    config = tiny("bert").config
    model = transformers.TFBertModel(config)
    model.build_in_name_scope()
    for method in (Head(), LastN()):
        with pytest.raises(UserError, match="no head"):
            apply_method(model, method)
    apply_method(model, "full")
    assert trained(model) == layout_of(model).names
