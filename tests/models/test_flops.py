"""The counted products of a step against those in TensorFlow's own graph of it."""

import math

import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.flops import step_work
from kerastune_llm.models.surgery import shapes_only
from kerastune_llm.models.trunk import find_cut
from tests.models.test_activations import LAYERS
from tests.tiny_models import tiny

ROWS, INPUTS, TARGETS = 3, 11, 7


def products(model: keras.Model) -> int:
    """Operations of the matrix products in the graph of loss and gradients."""
    graph = tf.compat.v1.get_default_graph()
    ids = tf.compat.v1.placeholder(tf.int32, [ROWS, INPUTS])
    is_text = model.config.is_encoder_decoder
    labels = tf.compat.v1.placeholder(tf.int32, [ROWS, TARGETS] if is_text else [ROWS])
    before = set(graph.get_operations())
    loss = model({"input_ids": ids, "labels": labels}, training=True).loss
    gradients = tf.gradients(loss, model.trainable_variables)
    wanted = [
        loss.op,
        *(getattr(g, "values", g).op for g in gradients if g is not None),
    ]
    found, waiting = set(), wanted
    while waiting:
        op = waiting.pop()
        if op not in found and op not in before:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return sum(map(_operations, found))


def _operations(op: tf.Operation) -> int:
    if op.type == "Einsum":
        left, right = (tensor.shape.as_list() for tensor in op.inputs)
        terms = op.get_attr("equation").decode().partition("->")[0].split(",")
        sizes = dict(zip("".join(terms), [*left, *right], strict=True))
        return 2 * math.prod(sizes.values())
    if "MatMul" not in op.type:
        return 0
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    left = op.inputs[0].shape.as_list()
    inner = left[-2] if transposed else left[-1]
    return 2 * math.prod(op.outputs[0].shape.as_list()) * inner


def traced_and_counted(name: str, method: str, **options: object) -> tuple[int, int]:
    with shapes_only(LAYERS[name](3)) as model:
        apply_method(model, method, **options)
        counted = step_work(model).flops(ROWS, INPUTS, TARGETS)
        return products(model), counted


@pytest.mark.parametrize("name", ["bert", "t5 decoder"])
def test_training_everything(name):
    traced, counted = traced_and_counted(name, "full")
    assert counted == traced


# Of the first block that trains, gradients that nothing asks for and that are counted:
# those of the input of BERT's query, key and value, which in T5 is a layer norm that
# trains; of a decoder above a frozen encoder those of the cross-attention's keys and
# values. With LoRA on query and value, besides, those of the input of its two A and of
# the keys.
WIDTH, INNER, RANK = 48, 40, 5
OF_BERT = 2 * ROWS * INPUTS * 3 * WIDTH * WIDTH
OF_DECODER = 2 * ROWS * WIDTH * INNER * 2 * INPUTS
OF_LORA = sum(
    2 * ROWS * n * (3 * WIDTH * INNER + 2 * WIDTH * RANK + n * INNER)
    for n in (INPUTS, TARGETS)
)


@pytest.mark.parametrize(
    ("name", "method", "options", "first_block"),
    [
        ("bert", "last_n", {"blocks": 1}, OF_BERT),
        ("bert", "head", {}, 0),
        ("t5 encoder", "lora", {"rank": RANK}, OF_LORA),
        ("t5 decoder", "head", {}, 0),
        ("t5 decoder", "last_n", {"blocks": 1}, OF_DECODER),
    ],
)
def test_frozen_weights_have_no_gradient(name, method, options, first_block):
    traced, counted = traced_and_counted(name, method, **options)
    assert counted == traced + first_block


def test_a_linear_model_by_hand():
    """BERT's blocks are 4 d d + 2 d f a token; pooler and head come once a row."""
    model = tiny("bert")
    apply_method(model, "full")
    d, f, n, labels = 16, 32, 10, model.config.num_labels
    block = 2 * n * (4 * d * d + 2 * d * f) + 4 * n * n * d
    head = 2 * (d * d + labels * d)
    assert step_work(model).flops(1, n) == 3 * (2 * block + head)
    apply_method(model, "head")
    # The pooler is neither trained nor anything below it.
    assert step_work(model).flops(1, n) == 2 * block + head + 2 * labels * d


def test_what_a_trunk_cache_holds_is_not_computed():
    model = tiny("bert")
    apply_method(model, "head")
    head = model.config.num_labels * 16
    assert step_work(model, find_cut(model)).flops(5, 10) == 5 * 2 * 2 * head
    apply_method(model, "last_n", blocks=1)
    whole, kept = step_work(model), step_work(model, find_cut(model))
    d, f, n = 16, 32, 10
    block = 2 * n * (4 * d * d + 2 * d * f) + 4 * n * n * d
    assert whole.flops(1, n) - kept.flops(1, n) == block
