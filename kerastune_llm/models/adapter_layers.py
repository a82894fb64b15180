"""Delta layers whose change a dense layer has no place for: they cannot be merged."""

from collections.abc import Mapping

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.delta_layers import (
    ZEROS,
    DeltaDense,
    cannot_merge,
    kaiming_uniform,
    matmul,
)


class AdapterDense(DeltaDense):
    """`y + scaling · (U f(D y + d) + u)` with `y = W x + b`: a bottleneck behind it.

    D is `[bottleneck, outputs]` and drawn as PyTorch draws a linear layer's weights; U
    is `[outputs, bottleneck]` and zero like both biases, so that the layer starts as
    the dense one. There is no layer norm of its own.

    Args:
        base_layer: A built dense layer.
        method: The method it belongs to.
        bottleneck: Rows of D.
        activation: Keras' name of `f`.
        scaling: Factor of the change.

    References:
        Houlsby et al. 2019, https://arxiv.org/abs/1902.00751, section 2.1.
    """

    def __init__(
        self,
        base_layer: keras.layers.Dense,
        *,
        method: object,
        bottleneck: int,
        activation: str,
        scaling: float = 1.0,
    ) -> None:
        super().__init__(base_layer, method=method)
        self.scaling = scaling
        self.activation = keras.activations.get(activation)
        width = self.outputs_width
        self.down = self.add_delta(
            "adapter_down/kernel", (width, bottleneck), kaiming_uniform()
        )
        self.down_bias = self.add_delta("adapter_down/bias", (bottleneck,), ZEROS)
        self.up = self.add_delta("adapter_up/kernel", (bottleneck, width), ZEROS)
        self.up_bias = self.add_delta("adapter_up/bias", (width,), ZEROS)

    def linear(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = self.base_linear(inputs)
        inner = tf.nn.bias_add(matmul(outputs, self.down), self.down_bias)
        change = matmul(self.activation(inner), self.up)
        return outputs + self.scaling * tf.nn.bias_add(change, self.up_bias)

    def merged(self) -> Mapping[str, tf.Tensor]:
        raise cannot_merge("An adapter computes with an activation of its own")


class BiasDense(DeltaDense):
    """`W x + c`: a bias, at first zero, for a dense layer that has none.

    Args:
        base_layer: A built dense layer without a bias.
        method: The method it belongs to.
    """

    def __init__(self, base_layer: keras.layers.Dense, *, method: object) -> None:
        super().__init__(base_layer, method=method)
        self.bias = self.add_delta("bitfit_bias", (self.outputs_width,), ZEROS)

    def linear(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(self.base_linear(inputs), self.bias)

    def merged(self) -> Mapping[str, tf.Tensor]:
        raise cannot_merge("A checkpoint of this architecture has no biases")
