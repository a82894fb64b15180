"""`PrefixAttention` for each way in which transformers calls its self-attention.

T5, BART and BERT concatenate a cache themselves: the prefix goes before it. The
attention of DistilBERT, ALBERT and MPNet knows no cache and is computed here.
"""

from collections.abc import Mapping

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.prefix_layers import (
    Pair,
    PrefixAttention,
    ShiftedEmbeddings,
    ShiftedPositions,
)

# What DistilBERT adds to the scores of masked keys.
_MASKED = -1e30
# Names of the projections of keys, values, and queries.
_PROJECTIONS = (("q_lin", "k_lin", "v_lin"), ("query", "key", "value"), ("q", "k", "v"))


class T5PrefixAttention(PrefixAttention):
    """T5's, with the prefix's keys at the positions before the first token."""

    def call(
        self,
        hidden_states: tf.Tensor,
        mask: tf.Tensor | None = None,
        key_value_states: None = None,
        position_bias: tf.Tensor | None = None,
        past_key_value: Pair | None = None,
        layer_head_mask: tf.Tensor | None = None,
        query_length: None = None,
        use_cache: bool = False,
        training: bool = False,
        output_attentions: bool = False,
    ) -> tuple:
        # The first layer's, mask included, is handed on to those above it.
        if position_bias is None:
            position_bias = self._position_bias(
                tf.shape(hidden_states)[1], past_key_value
            )
            if mask is not None:
                position_bias = tf.cast(position_bias, mask.dtype) + self.widened(mask)
        output, present, *others = self.base_layer(
            hidden_states,
            position_bias=position_bias,
            past_key_value=self.past(hidden_states, past_key_value),
            layer_head_mask=layer_head_mask,
            use_cache=use_cache,
            training=training,
            output_attentions=output_attentions,
        )
        return (output, self.own(present), *others)

    def _position_bias(self, length: tf.Tensor, past: Pair | None) -> tf.Tensor:
        """Relative biases `[1, heads, length, keys]` of the last `length` positions."""
        filled, room = 0, 0
        if past is not None:
            # XLA's cache has room for all tokens to come, and zeros there.
            keys = past[0][0, 0, :, 0]
            room = tf.shape(keys)[0]
            filled = tf.reduce_max(tf.where(keys != 0, tf.range(room) + 1, 0))
        total = self.num_virtual_tokens + room + length
        bias = self.base_layer.compute_bias(total, total)
        rows = self.num_virtual_tokens + filled + tf.range(length)
        return tf.gather(bias, rows, axis=2)


class BartPrefixAttention(PrefixAttention):
    """That of BART and its kin."""

    def call(
        self,
        hidden_states: tf.Tensor,
        key_value_states: None = None,
        past_key_value: Pair | None = None,
        attention_mask: tf.Tensor | None = None,
        layer_head_mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple:
        output, weights, present = self.base_layer(
            hidden_states,
            past_key_value=self.past(hidden_states, past_key_value),
            attention_mask=self.widened(attention_mask),
            layer_head_mask=layer_head_mask,
            training=training,
        )
        return output, weights, self.own(present)


class BertPrefixAttention(PrefixAttention):
    """That of BERT, RoBERTa and ELECTRA as encoders."""

    def call(
        self,
        hidden_states: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        head_mask: tf.Tensor | None = None,
        encoder_hidden_states: None = None,
        encoder_attention_mask: None = None,
        past_key_value: None = None,
        output_attentions: bool = False,
        training: bool = False,
    ) -> tuple:
        return self.base_layer(
            hidden_states,
            attention_mask=self.widened(attention_mask),
            head_mask=head_mask,
            encoder_hidden_states=None,
            encoder_attention_mask=None,
            past_key_value=self.past(hidden_states),
            output_attentions=output_attentions,
            training=training,
        )


class PlainPrefixAttention(PrefixAttention):
    """Scaled dot-product attention with a prefix, for layers that know no cache."""

    def attend(
        self,
        states: tf.Tensor,
        bias: tf.Tensor,
        dropout: keras.layers.Dropout,
        head_mask: tf.Tensor | None,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The context `[batch, length, width]` and the weights of attention.

        Args:
            states: `[batch, length, width]`.
            bias: Added to the scores of the sequence's own keys, `[…, length]`.
            dropout: The base layer's for weights.
            head_mask: Factors of the weights.
            training: Whether weights are dropped.
        """
        base = self.base_layer
        names = next(names for names in _PROJECTIONS if hasattr(base, names[0]))
        query, key, value = (self.heads(getattr(base, name)(states)) for name in names)
        prefix_key, prefix_value = self.past(states)
        key = tf.concat([prefix_key, key], axis=2)
        value = tf.concat([prefix_value, value], axis=2)
        scale = tf.math.rsqrt(tf.cast(key.shape[-1], key.dtype))
        scores = tf.matmul(query * scale, key, transpose_b=True)
        weights = tf.nn.softmax(scores + tf.cast(self.widened(bias), scores.dtype))
        weights = dropout(weights, training=training)
        if head_mask is not None:
            weights *= head_mask
        context = tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3))
        return tf.reshape(context, tf.shape(states)), weights


class DistilBertPrefixAttention(PlainPrefixAttention):
    """DistilBERT's."""

    def call(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        mask: tf.Tensor,
        head_mask: tf.Tensor | None,
        output_attentions: bool,
        training: bool = False,
    ) -> tuple:
        base = self.base_layer
        bias = (1 - tf.cast(mask, query.dtype))[:, None, None] * _MASKED
        context, weights = self.attend(query, bias, base.dropout, head_mask, training)
        output = base.out_lin(context)
        return (output, weights) if output_attentions else (output,)


class MPNetPrefixAttention(PlainPrefixAttention):
    """MPNet's; the relative biases are those of the sequence alone."""

    def call(
        self,
        hidden_states: tf.Tensor,
        attention_mask: tf.Tensor,
        head_mask: tf.Tensor | None,
        output_attentions: bool,
        position_bias: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple:
        base = self.base_layer
        bias = (
            attention_mask if position_bias is None else attention_mask + position_bias
        )
        context, weights = self.attend(
            hidden_states, bias, base.dropout, head_mask, training
        )
        output = base.o(context)
        return (output, weights) if output_attentions else (output,)


class AlbertPrefixAttention(PlainPrefixAttention):
    """ALBERT's, with the residual sum and the norm that its layer holds."""

    def call(
        self,
        input_tensor: tf.Tensor,
        attention_mask: tf.Tensor,
        head_mask: tf.Tensor | None,
        output_attentions: bool,
        training: bool = False,
    ) -> tuple:
        base = self.base_layer
        context, weights = self.attend(
            input_tensor, attention_mask, base.attention_dropout, head_mask, training
        )
        output = base.output_dropout(base.dense(context), training=training)
        output = base.LayerNorm(output + input_tensor)
        return (output, weights) if output_attentions else (output,)


# The attention of each family, and what shifts its positions where they are embedded.
FAMILIES: Mapping[str, tuple[type[PrefixAttention], type[ShiftedPositions] | None]] = {
    "t5": (T5PrefixAttention, None),
    "bart": (BartPrefixAttention, ShiftedPositions),
    "bert": (BertPrefixAttention, ShiftedEmbeddings),
    "distilbert": (DistilBertPrefixAttention, None),
    "mpnet": (MPNetPrefixAttention, None),
    "albert": (AlbertPrefixAttention, None),
}
