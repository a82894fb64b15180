"""TensorFlow variables under their PyTorch names and shapes, in both directions.

One map serves loading, saving, freezing by pattern and the parameter table: it is
made from the variable names by transformers' own rule, so every architecture with a
TensorFlow class is covered without a table of our own.
"""

from dataclasses import dataclass

import numpy as np
from transformers.modeling_tf_pytorch_utils import (
    TransposeType,
    apply_transpose,
    convert_tf_weight_name_to_pt_weight_name,
)

from kerastune_llm.backend import keras, tf


@dataclass(frozen=True)
class TorchParameter:
    """A TensorFlow variable seen as a PyTorch parameter."""

    name: str
    variable: tf.Variable
    transpose: TransposeType

    def to_torch(self) -> np.ndarray:
        """The value in PyTorch's axis order."""
        return np.ascontiguousarray(
            apply_transpose(self.transpose, self.variable.numpy(), pt_to_tf=False)
        )

    def from_torch(self, value: np.ndarray) -> np.ndarray:
        """A value in PyTorch's axis order, brought to this variable's."""
        return apply_transpose(self.transpose, value, self.variable.shape)


def torch_parameters(model: keras.Model) -> dict[str, TorchParameter]:
    """Every variable of a built model by its PyTorch name, each variable once.

    T5's tied LM head appears once, as `shared.weight`.
    """
    parameters: dict[str, TorchParameter] = {}
    for variable in model.weights:
        name, transpose = convert_tf_weight_name_to_pt_weight_name(
            variable.name, tf_weight_shape=variable.shape
        )
        parameters.setdefault(name, TorchParameter(name, variable, transpose))
    return parameters
