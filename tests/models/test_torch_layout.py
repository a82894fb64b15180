"""PyTorch names and shapes; the whole map is proven in tests/interop."""

import numpy as np
import pytest

from kerastune_llm.backend import keras
from kerastune_llm.models.torch_layout import torch_parameters

T5_ATTENTION = "encoder.block.0.layer.0.SelfAttention"


# Names and shapes as in `state_dict()` of the PyTorch class of the same configuration.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t5", {"shared.weight": (64, 16)}),
        ("t5-untied", {"shared.weight": (64, 16), "lm_head.weight": (64, 16)}),
        (
            "t5",
            {
                "encoder.block.0.layer.0.SelfAttention.q.weight": (12, 16),
                f"{T5_ATTENTION}.relative_attention_bias.weight": (8, 2),
                "decoder.block.1.layer.1.EncDecAttention.o.weight": (16, 12),
                "decoder.block.1.layer.2.DenseReluDense.wi.weight": (24, 16),
                "decoder.final_layer_norm.weight": (16,),
            },
        ),
        ("mbart", {"model.shared.weight": (64, 16), "final_logits_bias": (1, 64)}),
        ("led", {"led.shared.weight": (64, 16)}),
        ("encoder-decoder", {"encoder.embeddings.word_embeddings.weight": (64, 16)}),
        ("encoder-decoder", {"decoder.bert.pooler.dense.weight": None}),
        (
            "bert",
            {
                "bert.encoder.layer.1.intermediate.dense.weight": (24, 16),
                "bert.embeddings.LayerNorm.bias": (16,),
                "classifier.weight": (2, 16),
            },
        ),
        (
            "gpt2",
            {
                "transformer.h.0.attn.c_attn.weight": (16, 48),
                "transformer.h.0.attn.c_attn.bias": (48,),
                "score.weight": (2, 16),
            },
        ),
        ("xlnet", {"transformer.layer.0.rel_attn.q": (16, 2, 8)}),
    ],
)
def test_names_and_shapes_are_pytorchs(random_model, name, expected):
    parameters = torch_parameters(random_model(name))
    for parameter, shape in expected.items():
        if shape is None:
            assert parameter not in parameters
        else:
            assert parameters[parameter].shape == shape
            assert parameters[parameter].to_torch().shape == shape


def test_convolutions_of_convbert_have_pytorchs_axes(random_model):
    model = random_model("convbert")
    parameters = torch_parameters(model)
    layer = "convbert.encoder.layer.0.attention.self.key_conv_attn_layer."
    depthwise = parameters[layer + "depthwise.weight"]
    # TensorFlow [kernel, channels, 1], PyTorch [channels, 1, kernel].
    assert depthwise.shape == (16, 1, 3)
    assert depthwise.variable.shape == (3, 16, 1)
    values = depthwise.variable.numpy()
    np.testing.assert_array_equal(depthwise.to_torch()[5, 0], values[:, 5, 0])
    assert parameters[layer + "bias"].shape == (8, 1)


@pytest.mark.parametrize("name", ["bert", "gpt2", "convbert", "t5-untied"])
def test_a_value_comes_back_from_pytorchs_axes(random_model, name):
    for parameter in torch_parameters(random_model(name)).values():
        value = parameter.to_torch()
        back = parameter.from_torch(value)
        np.testing.assert_array_equal(back, parameter.variable.numpy())
        assert value.flags.c_contiguous


def test_every_variable_has_one_name(random_model):
    model = random_model("bart", "seq2seq")
    assert len(torch_parameters(model)) == len(model.weights)


def test_two_variables_of_one_name_are_refused():
    class Twice(keras.Model):
        config = None

        def __init__(self):
            super().__init__()
            for _ in range(2):
                self.add_weight(name="layer/kernel", shape=(2, 2))

    with pytest.raises(ValueError, match="Two variables of the model are 'weight'"):
        torch_parameters(Twice())
