"""A frozen trunk's outputs stand in for the trunk: the same logits, on every model."""

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.quick_activations import quick_activations
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.models.trunk import PREFIX, call_model, find_cut
from kerastune_llm.training.trunk_outputs import upstream
from tests.tiny_models import CLASSIFIERS, spread, tiny, tiny_batch

UNTIED = ("t5-untied", "mt5")
# Their blocks are not in a plain list that their embeddings come before.
NO_LIST = ("albert", "flaubert", "gpt2", "bart-classifier")


def model_with(name: str, method: str, **options: object) -> keras.Model:
    model = spread(tiny(name), 0.2)
    apply_method(model, method, **options)
    return model


def check_replay(model: keras.Model) -> None:
    """Logits from recorded outputs equal the whole model's; the model is unharmed."""
    batch = dict(tiny_batch(model))
    with quick_activations(model):
        expected = model(dict(batch), training=False).logits.numpy()
    cut = find_cut(model)
    features = cut.record(batch)
    with quick_activations(model):
        again = model(dict(batch), training=False).logits.numpy()
    np.testing.assert_array_equal(again, expected)
    # What stands before the cut is not read again.
    parameters = torch_parameters(model)
    for name in layout_of(model).blocks["encoder"][0].parameters:
        variable = parameters[name].variable
        variable.assign(tf.zeros_like(variable))
    replayed = {**batch, **{PREFIX + name: value for name, value in features.items()}}
    with quick_activations(model):
        found = call_model(model, replayed, training=False).logits.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", [*CLASSIFIERS, *UNTIED])
def test_a_head_alone_reads_the_base_model_s_outputs(name):
    model = model_with(name, "head")
    assert find_cut(model).where == "base"
    check_replay(model)


@pytest.mark.parametrize("name", [n for n in CLASSIFIERS if n not in NO_LIST])
def test_the_last_block_reads_the_first_one_s_output(name):
    model = model_with(name, "last_n", blocks=1)
    cut = find_cut(model)
    assert (cut.where, cut.blocks) == ("blocks", 1)
    check_replay(model)


@pytest.mark.parametrize("name", UNTIED)
def test_a_decoder_alone_reads_the_encoder_s_output(name):
    model = model_with(name, "last_n", blocks=1)
    assert find_cut(model).where == "encoder"
    check_replay(model)


def test_lora_on_the_last_block_leaves_the_first_one_to_the_trunk():
    model = model_with("bert", "lora", target_modules=r".*layer\.1\..*\.query")
    assert find_cut(model).blocks == 1
    check_replay(model)


def matrices_in_use(model: keras.Model) -> set[str]:
    """Names of the matrices that a graph of the trunk's outputs computes with."""

    def record(batch: dict) -> dict:
        return find_cut(model).record(batch)

    # What shapes do not tell is checked in the graph.
    open_shapes = {
        name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
        for name, value in tiny_batch(model).items()
    }
    graph = tf.function(record).get_concrete_function(open_shapes).graph
    wanted = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    computed = set().union(*map(upstream, wanted))
    handles = {id(inner): id(outer) for outer, inner in graph.captures}
    used = set()
    for name in computed:
        # That a weight is read says nothing: what takes its value does.
        for tensor in graph.get_operation_by_name(name).inputs:
            source = tensor.op
            if source.type == "ReadVariableOp":
                used.add(handles.get(id(source.inputs[0])))
    return {
        name
        for name, parameter in torch_parameters(model).items()
        if id(parameter.variable.handle) in used and parameter.variable.shape.rank > 1
    }


@pytest.mark.parametrize("name", [*CLASSIFIERS, *UNTIED])
def test_for_the_outputs_of_a_base_model_no_head_is_computed(name):
    model = model_with(name, "head")
    used = matrices_in_use(model)
    assert used and not used & layout_of(model).part("head")


@pytest.mark.parametrize("name", UNTIED)
def test_for_the_outputs_of_an_encoder_no_decoder_is_computed(name):
    model = model_with(name, "last_n", blocks=1)
    used, blocks = matrices_in_use(model), layout_of(model).blocks
    assert used & blocks["encoder"][0].parameters
    assert not any(used & block.parameters for block in blocks["decoder"])


@pytest.mark.parametrize(
    ("name", "method"),
    [("t5", "head"), ("bart", "head"), ("bert", "full"), ("bert", "lora")],
)
def test_without_a_frozen_trunk_there_is_no_cut(name, method):
    assert find_cut(model_with(name, method)) is None
