"""The formula of kept activations against TensorFlow's own graphs."""

import contextlib
import math

import pytest

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.activations import activation_bytes, sizes_of, uses_of
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.quick_activations import quick_activations
from kerastune_llm.models.surgery import shapes_only, trainable_names
from kerastune_llm.training.dropout import dropout_from
from kerastune_llm.training.recomputation import recomputed
from tests.tiny_models import tiny

ROWS, INPUTS, TARGETS, RANK = 3, 11, 7, 5

# Ops that hand on their input's memory, and backward ops that read a shape alone.
SAME_MEMORY = (
    "Reshape",
    "Identity",
    "IdentityN",
    "ExpandDims",
    "Squeeze",
    "StopGradient",
)
READ_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "BroadcastGradientArgs")
NO_ACTIVATION = ("Const", "ReadVariableOp", "Placeholder", "Shape")

T5 = {
    "vocab_size": 64,
    "d_model": 48,
    "d_kv": 8,
    "d_ff": 112,
    "num_heads": 5,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}
BERT = {
    "vocab_size": 64,
    "hidden_size": 48,
    "num_attention_heads": 6,
    "intermediate_size": 112,
}
LAYERS = {
    "bert": lambda n: transformers.BertConfig(num_hidden_layers=n, **BERT),
    "t5 encoder": lambda n: transformers.T5Config(
        num_layers=n, num_decoder_layers=1, **T5
    ),
    "t5 decoder": lambda n: transformers.T5Config(
        num_layers=1, num_decoder_layers=n, **T5
    ),
    "t5 with relu": lambda n: transformers.T5Config(
        num_layers=n, num_decoder_layers=1, **{**T5, "feed_forward_proj": "relu"}
    ),
}


def kept(model: keras.Model, *, use_recomputation: bool) -> dict:
    """Forward tensors that the backward pass reads, by what owns their memory.

    The model is in a graph; so are its loss and gradients, on `ROWS` rows.
    """
    graph = tf.compat.v1.get_default_graph()
    ids = tf.compat.v1.placeholder(tf.int32, [ROWS, INPUTS])
    is_text = model.config.is_encoder_decoder
    shape = [ROWS, TARGETS] if is_text else [ROWS]
    labels = tf.compat.v1.placeholder(tf.int32, shape)
    with contextlib.ExitStack() as within:
        if use_recomputation:
            draws = within.enter_context(dropout_from(model, 0))
            within.enter_context(recomputed(model, draws))
        within.enter_context(quick_activations(model))
        loss = model({"input_ids": ids, "labels": labels}, training=True).loss
    forward = set(graph.get_operations())
    gradients = tf.gradients(loss, model.trainable_variables)
    dense = [getattr(g, "values", g) for g in gradients if g is not None]
    found, seen, waiting = {}, set(), [gradient.op for gradient in dense]
    while waiting:
        op = waiting.pop()
        if op in seen:
            continue
        seen.add(op)
        for tensor in op.inputs:
            if tensor.op not in forward:
                waiting.append(tensor.op)
            elif op.type not in READ_SHAPES:
                owner = _owner(tensor)
                if owner.op.type not in NO_ACTIVATION:
                    found[owner.ref()] = owner
    return found


def _owner(tensor: tf.Tensor) -> tf.Tensor:
    while tensor.op.type in SAME_MEMORY:
        # Only IdentityN has several outputs, as many as inputs.
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def traced_and_estimated(
    config, method: str, *, use_recomputation: bool = False, **options: object
) -> tuple[int, int]:
    """Bytes kept by TensorFlow's graph, without one number per token, and estimated."""
    with shapes_only(config) as model:
        apply_method(model, method, **options)
        sizes = sizes_of(config)
        uses = uses_of(layout_of(model), trainable_names(model), sizes)
        tensors = kept(model, use_recomputation=use_recomputation).values()
        shapes = [(tensor.shape.as_list(), tensor.dtype.size) for tensor in tensors]
    # Neither scalars nor the statistics of norms grow with the width.
    wide = [(shape, size) for shape, size in shapes if shape and shape[-1] != 1]
    sums = [math.prod(shape) * size for shape, size in wide]
    row = activation_bytes(
        sizes, uses, INPUTS, TARGETS, use_recomputation=use_recomputation
    )
    return sum(sums), ROWS * row


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("bert", "full"),
        pytest.param("bert", "lora", marks=pytest.mark.long),
        *(
            pytest.param(name, method, marks=pytest.mark.long)
            for name in LAYERS
            if name != "bert"
            for method in ("full", "lora")
        ),
    ],
)
def test_one_block_more_keeps_what_the_formula_says(name, method):
    """To the byte: the difference of two depths is a block."""
    options = {"rank": RANK} if method == "lora" else {}
    traced, estimated = zip(
        *(traced_and_estimated(LAYERS[name](n), method, **options) for n in (2, 3)),
        strict=True,
    )
    # `A x` of the query and the value of each attention.
    length = TARGETS if name == "t5 decoder" else INPUTS
    low_rank = 2 * ROWS * length * RANK * 4 if method == "lora" else 0
    if name == "t5 decoder":
        low_rank += ROWS * (TARGETS + INPUTS) * RANK * 4 if method == "lora" else 0
    assert traced[1] - traced[0] == estimated[1] - estimated[0] + low_rank


@pytest.mark.parametrize(
    "name", ["bert", pytest.param("t5 decoder", marks=pytest.mark.long)]
)
def test_a_recomputed_block_keeps_what_goes_into_it(name):
    traced, estimated = zip(
        *(
            traced_and_estimated(LAYERS[name](n), "full", use_recomputation=True)
            for n in (2, 3)
        ),
        strict=True,
    )
    length = TARGETS if name == "t5 decoder" else INPUTS
    assert traced[1] - traced[0] == ROWS * length * 48 * 4
    assert estimated[1] - estimated[0] == ROWS * length * 48 * 4


def uses(name: str, method: str, **options: object) -> dict[str, tuple[str, ...]]:
    model = tiny(name)
    apply_method(model, method, **options)
    sizes = sizes_of(model.config)
    return uses_of(layout_of(model), trainable_names(model), sizes)


def test_what_the_backward_pass_needs_of_each_block():
    trained, passed, idle = ("trained",) * 2, ("passed",) * 2, ("idle",) * 2
    untied, tied = "t5-untied", "t5"
    assert uses(untied, "full") == {"encoder": trained, "decoder": trained}
    assert uses(untied, "lora") == {"encoder": passed, "decoder": passed}
    assert uses(untied, "head") == {"encoder": idle, "decoder": idle}
    # The tied head is the embeddings, whose gradient goes through everything.
    assert uses(tied, "head") == {"encoder": passed, "decoder": passed}
    last = {"encoder": idle, "decoder": ("idle", "trained")}
    assert uses(untied, "last_n", blocks=1) == last
    top = uses(untied, "freeze", train=("encoder.block.1",))
    assert top == {"encoder": ("idle", "trained"), "decoder": passed}
    assert uses("albert", "full") == {"encoder": trained}


def test_a_head_alone_takes_a_block_at_a_time():
    config = transformers.BertConfig(num_hidden_layers=12, **BERT)
    sizes = sizes_of(config)
    one, two = (
        activation_bytes(sizes, {"encoder": ("passed",) * n}, 512, 0) for n in (1, 2)
    )
    alone = activation_bytes(sizes, {"encoder": ("idle",) * 12}, 512, 0)
    assert alone == two - one


def test_sizes_of_every_family_by_their_configurations():
    t5, bert = sizes_of(LAYERS["t5 decoder"](3)), sizes_of(LAYERS["bert"](2))
    assert (t5.width, t5.inner, t5.feed_forward) == (48, 40, 112)
    assert t5.blocks == {"encoder": 1, "decoder": 3}
    assert (bert.inner, bert.vocabulary, bert.blocks) == (48, 0, {"encoder": 2})
    bart = sizes_of(transformers.BartConfig(d_model=48, encoder_ffn_dim=96))
    assert (bart.width, bart.feed_forward, bart.blocks["decoder"]) == (48, 96, 12)
    distilbert = sizes_of(transformers.DistilBertConfig(dim=48, hidden_dim=96))
    assert (distilbert.width, distilbert.feed_forward) == (48, 96)
