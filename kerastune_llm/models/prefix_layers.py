"""Attention layers with trained keys and values before those of the sequence.

A layer stands in the place of a self-attention and adds the prefix inside, at every
call: the model's cache holds its own tokens alone, so generation, cached or not, goes
as without a prefix. Where positions are learned or sinusoidal, `ShiftedPositions`
counts the prefix in, as PEFT does by way of the cache's length.
"""

from collections.abc import Sequence

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.delta_layers import (
    ZEROS,
    DeltaLayer,
    cannot_merge,
    kaiming_uniform,
)

Pair = Sequence[tf.Tensor]
# Names that transformers gives the same attributes of its attention layers.
_HEADS = ("n_heads", "num_heads", "num_attention_heads")
_QUERIES = ("q", "q_proj", "query", "q_lin")


class PrefixTable(keras.layers.Layer):
    """The part of a reparameterised prefix that all layers share: `tanh(E W + b)`.

    E is `[num_virtual_tokens, width]` from a standard normal distribution, W
    `[width, hidden_width]` as PyTorch draws a linear layer.

    Args:
        attention: The first layer with a prefix, whose name scope it has.
        num_virtual_tokens: Length of the prefix.
        hidden_width: Columns of the result; default: the layer's width.
    """

    def __init__(
        self,
        attention: keras.layers.Layer,
        *,
        num_virtual_tokens: int,
        hidden_width: int | None = None,
    ) -> None:
        super().__init__(name="prefix_table", dtype=attention.dtype_policy)
        width = attention_width(attention)
        hidden = hidden_width or width
        normal, uniform = standard_normal(), kaiming_uniform()
        with tf.name_scope(f"{attention_scope(attention)}/prefix_table/"):
            self.table = self.add_weight(
                "table", (num_virtual_tokens, width), None, normal
            )
            self.down = self.add_weight("down/kernel", (width, hidden), None, uniform)
            self.bias = self.add_weight("down/bias", (hidden,), None, ZEROS)
        self.built = True

    def states(self) -> tf.Tensor:
        """The result, `[num_virtual_tokens, hidden_width]`."""
        return tf.tanh(tf.matmul(self.table, self.down) + self.bias)


class PrefixAttention(DeltaLayer):
    """Self-attention whose keys and values begin with trained ones.

    `softmax(q [P_k; k]ᵀ + [0; mask]) [P_v; v]` with `[P_k, P_v]`, called `prefix`, of
    `[num_virtual_tokens, 2 · width]`: variables of its own, from a standard normal
    distribution, or `table.states() U + u` where layers share a table.

    Args:
        base_layer: A built self-attention layer.
        method: The method it belongs to.
        num_virtual_tokens: Length of the prefix.
        table: The shared part; without one the prefix itself trains.

    References:
        Li and Liang 2021, https://arxiv.org/abs/2101.00190, section 4.
    """

    def __init__(
        self,
        base_layer: keras.layers.Layer,
        *,
        method: object,
        num_virtual_tokens: int,
        table: PrefixTable | None = None,
    ) -> None:
        super().__init__(base_layer, method=method)
        self.num_virtual_tokens = num_virtual_tokens
        self.num_heads = next(
            getattr(base_layer, n) for n in _HEADS if hasattr(base_layer, n)
        )
        self.width = attention_width(base_layer)
        self.table = table
        columns = 2 * self.width
        if table is None:
            shape = (num_virtual_tokens, columns)
            self.prefix = self.add_delta("prefix", shape, standard_normal())
        else:
            shape = (table.down.shape[-1], columns)
            self.up = self.add_delta("prefix_up/kernel", shape, kaiming_uniform())
            self.up_bias = self.add_delta("prefix_up/bias", (columns,), ZEROS)

    @property
    def delta_weights(self) -> tuple[tf.Variable, ...]:
        shared = self.table.variables if self.table is not None else ()
        return (*shared, *super().delta_weights)

    @property
    def base_scope(self) -> str:
        return attention_scope(self.base_layer)

    def merged(self) -> dict[str, tf.Tensor]:
        raise cannot_merge("A prefix stands beside the weights, in none of them")

    def heads(self, states: tf.Tensor) -> tf.Tensor:
        """`[batch, length, width]` parted into `[batch, heads, length, head_width]`."""
        shape = (tf.shape(states)[0], -1, self.num_heads, self.width // self.num_heads)
        return tf.transpose(tf.reshape(states, shape), (0, 2, 1, 3))

    def past(self, states: tf.Tensor, past: Pair | None = None) -> Pair:
        """Keys and values before those of `states`: the prefix's, then the cache's."""
        if self.table is None:
            prefix = self.prefix
        else:
            prefix = tf.matmul(self.table.states(), self.up) + self.up_bias
        batch = tf.shape(states)[0]
        parts = tf.split(tf.cast(prefix, states.dtype), 2, axis=-1)
        pair = [self.heads(tf.tile(part[None], (batch, 1, 1))) for part in parts]
        if past is None:
            return pair
        return [tf.concat(both, axis=2) for both in zip(pair, past, strict=True)]

    def own(self, present: Pair | None) -> Pair | None:
        """What goes into the cache: keys and values without the prefix's."""
        if present is None:
            return None
        return tuple(states[:, :, self.num_virtual_tokens :] for states in present)

    def widened(self, mask: tf.Tensor | None) -> tf.Tensor | None:
        """An additive mask `[…, keys]` under which the prefix is seen."""
        if mask is None:
            return None
        before = [[0, 0]] * (mask.shape.rank - 1) + [[self.num_virtual_tokens, 0]]
        return tf.pad(mask, before)


class ShiftedPositions(DeltaLayer):
    """An embedding of positions that starts counting behind the prefix.

    Args:
        base_layer: The layer that embeds positions, by `past_key_values_length`.
        method: The method it belongs to.
        num_virtual_tokens: Positions that the prefix takes.
    """

    def __init__(
        self, base_layer: keras.layers.Layer, *, method: object, num_virtual_tokens: int
    ) -> None:
        super().__init__(base_layer, method=method)
        self.num_virtual_tokens = num_virtual_tokens

    def merged(self) -> dict[str, tf.Tensor]:
        raise cannot_merge("A prefix stands beside the weights, in none of them")

    def call(
        self,
        input_shape: Sequence[int],
        past_key_values_length: int | tf.Tensor = 0,
        position_ids: tf.Tensor | None = None,
    ) -> tf.Tensor:
        return self.base_layer(
            input_shape,
            past_key_values_length=past_key_values_length + self.num_virtual_tokens,
            position_ids=self.shifted(position_ids),
        )

    def shifted(self, position_ids: tf.Tensor | None) -> tf.Tensor | None:
        """Positions that were given, counted behind the prefix."""
        return None if position_ids is None else position_ids + self.num_virtual_tokens


class ShiftedEmbeddings(ShiftedPositions):
    """The same for BERT's embeddings, which add tokens, types and positions."""

    def call(
        self,
        input_ids: tf.Tensor | None = None,
        position_ids: tf.Tensor | None = None,
        token_type_ids: tf.Tensor | None = None,
        inputs_embeds: tf.Tensor | None = None,
        past_key_values_length: int | tf.Tensor = 0,
        training: bool = False,
    ) -> tf.Tensor:
        return self.base_layer(
            input_ids=input_ids,
            position_ids=self.shifted(position_ids),
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            past_key_values_length=past_key_values_length + self.num_virtual_tokens,
            training=training,
        )


def standard_normal() -> keras.initializers.Initializer:
    """How PyTorch draws an embedding."""
    return keras.initializers.RandomNormal(stddev=1.0)


def attention_width(layer: keras.layers.Layer) -> int:
    """The width of an attention layer's keys and values, all heads together."""
    return _query(layer).units


def attention_scope(layer: keras.layers.Layer) -> str:
    """The name scope of an attention layer's variables."""
    return _query(layer).kernel.name.rpartition("/")[0].rpartition("/")[0]


def _query(layer: keras.layers.Layer) -> keras.layers.Dense:
    return next(getattr(layer, name) for name in _QUERIES if hasattr(layer, name))
