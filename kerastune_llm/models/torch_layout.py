"""TensorFlow variables under their PyTorch names and shapes, in both directions.

One map serves loading, saving, freezing by pattern and the parameter table. It is made
from the variable names by transformers' own rule, so every architecture with a
TensorFlow class is covered without a table of our own; the places where that rule
stops short of PyTorch's names and shapes are mended here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kerastune_llm.backend import keras, tf  # isort: skip  (before transformers)

from transformers.modeling_tf_pytorch_utils import (
    TransposeType,
    apply_transpose,
    convert_tf_weight_name_to_pt_weight_name,
)


@dataclass(frozen=True)
class TorchParameter:
    """A TensorFlow variable seen as a PyTorch parameter.

    Args:
        name: PyTorch's name, as in `state_dict()`.
        variable: The variable of the model.
        transpose: How the axes of the two differ.
    """

    name: str
    variable: tf.Variable
    transpose: TransposeType

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape PyTorch gives this parameter."""
        # A zero-stride stand-in: the shape after the transpose without the memory.
        variable_shape = tuple(self.variable.shape)
        stand_in = np.broadcast_to(np.float32(0), variable_shape)
        transposed = apply_transpose(self.transpose, stand_in, pt_to_tf=False).shape
        return _mend_shape(self.name, tuple(transposed))

    def to_torch(self) -> np.ndarray:
        """The value in PyTorch's shape and axis order, contiguous."""
        value = self.variable.numpy()
        if self.variable.dtype == tf.bfloat16:
            value = value.astype(np.float32)
        value = apply_transpose(self.transpose, value, pt_to_tf=False)
        return np.ascontiguousarray(value).reshape(self.shape)

    def from_torch(self, value: np.ndarray) -> np.ndarray:
        """A value in PyTorch's axis order, brought to this variable's shape."""
        return apply_transpose(self.transpose, value, self.variable.shape)


def torch_parameters(model: keras.Model) -> dict[str, TorchParameter]:
    """Every variable of a built model by its PyTorch name, each variable once.

    T5's tied LM head appears once, as `shared.weight`.

    Raises:
        ValueError: Two variables have one PyTorch name (the model was not built in
            its own name scope), so the map would lose one of them.
    """
    rename = _encoder_rename(model)
    parameters: dict[str, TorchParameter] = {}
    for variable in model.weights:
        name, transpose = torch_name(variable.name, tuple(variable.shape))
        name = rename(name)
        if name in parameters:
            raise ValueError(f"Two variables of the model are {name!r} in PyTorch.")
        parameters[name] = TorchParameter(name, variable, transpose)
    return parameters


def torch_name(variable_name: str, shape: tuple[int, ...]) -> tuple[str, TransposeType]:
    """PyTorch's name of a variable and how its axes differ.

    >>> torch_name("tf_bert/bert/pooler/dense/kernel:0", (16, 16))
    ('bert.pooler.dense.weight', <TransposeType.SIMPLE: 'simple'>)
    """
    return convert_tf_weight_name_to_pt_weight_name(
        variable_name, tf_weight_shape=shape
    )


def _encoder_rename(model: keras.Model) -> Callable[[str], str]:
    """Drop the level that TensorFlow's base model adds inside an encoder-decoder.

    A `TFBertModel` keeps its body in a layer called `bert`; PyTorch's `BertModel` is
    the body. In the decoder, a model with a head, both have the level.
    """
    if getattr(model.config, "model_type", None) != "encoder-decoder":
        return lambda name: name
    body = getattr(model.encoder, model.encoder.base_model_prefix, None)
    if body is None:
        return lambda name: name
    doubled = f"encoder.{body.name}."

    def rename(name: str) -> str:
        return "encoder." + name[len(doubled) :] if name.startswith(doubled) else name

    return rename


def _mend_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """PyTorch's shape where it has other axes of length one than TensorFlow's.

    >>> _mend_shape("h.0.attn.c_attn.bias", (1, 48))  # TFConv1D
    (48,)
    >>> _mend_shape("key_conv_attn_layer.depthwise.weight", (1, 16, 3))  # ConvBERT
    (16, 1, 3)
    """
    if name.endswith("key_conv_attn_layer.bias"):
        return (*shape, 1)
    if name.endswith("depthwise.weight") and len(shape) == 3:
        return (shape[1], shape[0], shape[2])
    if name.endswith(".bias") and len(shape) == 2 and shape[0] == 1:
        return shape[1:]
    return shape
