"""Keras layers that hold a layer of a model and add a small trained change.

The held layer stays as it is; the change has its own variables, named so that
`torch_parameters` finds the base under its old name and the change beside it:
`….q.weight`, `….q.lora_A.weight`.
"""

from collections.abc import Mapping

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError

ONES = "ones"
ZEROS = "zeros"


class DeltaLayer(keras.layers.Layer):
    """A layer with a change beside it, standing where the model has that layer.

    A subclass takes the same calls as the layer and makes its variables, if any, in
    `__init__` with `add_delta`.

    Args:
        base_layer: A built layer of the model.
        method: The method the change belongs to, which is saved with it.
    """

    def __init__(self, base_layer: keras.layers.Layer, *, method: object) -> None:
        super().__init__(name=base_layer.name, dtype=base_layer.dtype_policy)
        self.base_layer = base_layer
        self.method = method
        self.built = True

    @property
    def delta_weights(self) -> tuple[tf.Variable, ...]:
        """The change's own variables, without the base layer's."""
        return tuple(self._trainable_weights + self._non_trainable_weights)

    def add_delta(
        self, name: str, shape: tuple[int, ...], initializer: object
    ) -> tf.Variable:
        """A variable of the change, called `<module>/<name>` beside the base's own."""
        # A scope that ends with a slash is absolute, wherever the caller stands.
        with tf.name_scope(f"{self.base_scope}/"):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

    @property
    def base_scope(self) -> str:
        """The name scope of the base layer's variables."""
        raise NotImplementedError

    def merged(self) -> Mapping[str, tf.Tensor]:
        """The base layer's variables by attribute, with the change in them."""
        raise NotImplementedError


class DeltaDense(DeltaLayer):
    """A dense layer with a change beside it: the base of the layers below.

    A subclass computes the layer's output before its activation in `linear`; `merged`
    gives `kernel` `[inputs, outputs]` and `bias`, where it changes.

    Args:
        base_layer: A built dense layer of the model.
        method: The method the change belongs to.
    """

    def __init__(self, base_layer: keras.layers.Dense, *, method: object) -> None:
        super().__init__(base_layer, method=method)
        self.inputs_width, self.outputs_width = base_layer.kernel.shape

    @property
    def base_scope(self) -> str:
        return self.base_layer.kernel.name.rpartition("/")[0]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.base_layer.activation(self.linear(inputs))

    def linear(self, inputs: tf.Tensor) -> tf.Tensor:
        """The changed output before the activation, `[..., outputs]`."""
        raise NotImplementedError

    def base_linear(self, inputs: tf.Tensor) -> tf.Tensor:
        """The base layer's output before its activation, `[..., outputs]`."""
        return self._with_bias(matmul(inputs, self.base_layer.kernel))

    def _with_bias(self, outputs: tf.Tensor) -> tf.Tensor:
        bias = self.base_layer.bias
        return outputs if bias is None else tf.nn.bias_add(outputs, bias)


class LoRADense(DeltaDense):
    """`W x + scaling · B A x`: a low-rank change of a dense layer.

    With `use_dora` each column of `W + scaling · B A` is brought to a trained length
    `m`: `m / ‖W + scaling · B A‖ · (W + scaling · B A) x`. The length in the
    denominator gets no gradient. The change starts at zero.

    Args:
        base_layer: A built dense layer.
        method: The method it belongs to.
        rank: Rows of A.
        scaling: Factor of the change.
        dropout: Share of the change's inputs dropped in training, 0 to 1.
        use_dora: Whether lengths are trained apart from directions.

    References:
        Hu et al. 2021, https://arxiv.org/abs/2106.09685, equation 3;
        Liu et al. 2024, https://arxiv.org/abs/2402.09353, equation 5.
    """

    def __init__(
        self,
        base_layer: keras.layers.Dense,
        *,
        method: object,
        rank: int,
        scaling: float,
        dropout: float = 0.0,
        use_dora: bool = False,
    ) -> None:
        super().__init__(base_layer, method=method)
        self.scaling = scaling
        self.dropout = keras.layers.Dropout(dropout)
        shape = (self.inputs_width, rank)
        self.down = self.add_delta("lora_A/kernel", shape, kaiming_uniform())
        self.up = self.add_delta("lora_B/kernel", (rank, self.outputs_width), ZEROS)
        self.magnitude = None
        if use_dora:
            shape = (self.outputs_width,)
            self.magnitude = self.add_delta("lora_magnitude_vector", shape, ZEROS)
            self.magnitude.assign(self._lengths())

    def linear(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = matmul(inputs, self.base_layer.kernel)
        dropped = self.dropout(inputs)
        change = matmul(matmul(dropped, self.down), self.up) * self.scaling
        if self.magnitude is None:
            return self._with_bias(outputs) + change
        if self.dropout.rate:
            # As PEFT has it: with dropout, the rescaled part sees dropped inputs too.
            rescaled = matmul(dropped, self.base_layer.kernel)
        else:
            rescaled = outputs
        factor = self.magnitude / tf.stop_gradient(self._lengths())
        return self._with_bias(outputs) + (factor - 1) * rescaled + factor * change

    def merged(self) -> Mapping[str, tf.Tensor]:
        kernel = self._changed_kernel()
        if self.magnitude is not None:
            kernel *= self.magnitude / self._lengths()
        return {"kernel": kernel}

    def _changed_kernel(self) -> tf.Tensor:
        return self.base_layer.kernel + self.scaling * tf.matmul(self.down, self.up)

    def _lengths(self) -> tf.Tensor:
        """The length of each output's weights, `[outputs]`."""
        return tf.norm(self._changed_kernel(), axis=0)


class IA3Dense(DeltaDense):
    """`l ⊙ (W x + b)`, or `W (l ⊙ x) + b` for a feed-forward layer; `l` starts at one.

    Args:
        base_layer: A built dense layer.
        method: The method it belongs to.
        is_feedforward: Whether `l` scales the inputs.

    References:
        Liu et al. 2022, https://arxiv.org/abs/2205.05638, section 3.3.
    """

    def __init__(
        self, base_layer: keras.layers.Dense, *, method: object, is_feedforward: bool
    ) -> None:
        super().__init__(base_layer, method=method)
        self.is_feedforward = is_feedforward
        # PEFT's shapes: a row for the inputs, a column for the outputs.
        shape = (1, self.inputs_width) if is_feedforward else (self.outputs_width, 1)
        self.scale = self.add_delta("ia3_l", shape, ONES)

    def linear(self, inputs: tf.Tensor) -> tf.Tensor:
        scale = tf.reshape(self.scale, [-1])
        if self.is_feedforward:
            return self.base_linear(inputs * scale)
        return self.base_linear(inputs) * scale

    def merged(self) -> Mapping[str, tf.Tensor]:
        kernel, bias = self.base_layer.kernel, self.base_layer.bias
        # The kernel is [inputs, outputs], so both of PEFT's shapes are turned round.
        values = {"kernel": kernel * tf.transpose(self.scale)}
        if bias is not None and not self.is_feedforward:
            values["bias"] = bias * tf.reshape(self.scale, [-1])
        return values


def delta_layers(model: keras.Model) -> tuple[DeltaLayer, ...]:
    """The delta layers of a model, each once."""
    layers = {id(layer): layer for layer in model._flatten_layers()}
    return tuple(layer for layer in layers.values() if isinstance(layer, DeltaLayer))


def cannot_merge(why: str) -> UserError:
    """The error of `DeltaLayer.merged` where merging is not defined.

    >>> print(cannot_merge("It is no sum of weights"))  # doctest: +ELLIPSIS
    It is no sum of weights, so the change cannot be merged into the model.
      Accepted: ...
    """
    return UserError(
        f"{why}, so the change cannot be merged into the model.",
        accepted="a change of weights alone: lora, dora or ia3",
        mend="save_adapter(model, folder) to keep the change apart, or "
        "remove_delta(model) to drop it",
    )


def kaiming_uniform() -> keras.initializers.Initializer:
    """What PyTorch's linear layer starts with: uniform within 1 / sqrt(inputs)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def matmul(inputs: tf.Tensor, matrix: tf.Variable | tf.Tensor) -> tf.Tensor:
    """`[..., n]` times `[n, m]`, as Keras' Dense computes it."""
    if inputs.shape.rank == 2:
        return tf.matmul(inputs, matrix)
    return tf.tensordot(inputs, matrix, [[-1], [0]])
