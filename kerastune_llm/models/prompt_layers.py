"""Layers around whole stacks that put trained vectors before the embedded tokens."""

from collections.abc import Mapping, Sequence

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.delta_layers import DeltaLayer, cannot_merge


class PromptedStack(DeltaLayer):
    """An encoder whose input begins with trained vectors, called `prompt`.

    `encode([P; embed(input_ids)])`, P of `[num_virtual_tokens, width]`; every sequence
    is longer by that inside, positions and masks included. P is drawn from a standard
    normal distribution, or starts as the embeddings of tokens.

    Args:
        base_layer: The encoder of an encoder-decoder, or the body of an encoder.
        method: The method it belongs to.
        num_virtual_tokens: Length of the prompt.
        initial_tokens: Token ids to start from, repeated or cut to the length.

    References:
        Lester et al. 2021, https://arxiv.org/abs/2104.08691.
    """

    def __init__(
        self,
        base_layer: keras.layers.Layer,
        *,
        method: object,
        num_virtual_tokens: int,
        initial_tokens: Sequence[int] = (),
    ) -> None:
        super().__init__(base_layer, method=method)
        self.num_virtual_tokens = num_virtual_tokens
        shape = (num_virtual_tokens, self._matrix().shape[-1])
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.prompt = self.add_delta("prompt", shape, normal)
        if initial_tokens:
            repeats = -(-num_virtual_tokens // len(initial_tokens))
            ids = (list(initial_tokens) * repeats)[:num_virtual_tokens]
            _check_ids(ids, self._matrix().shape[0])
            self.prompt.assign(self._embedded(tf.constant(ids)))

    @property
    def base_scope(self) -> str:
        name = f"/{self.base_layer.name}/"
        inside = (v.name for v in self.base_layer.weights if name in v.name)
        return next(inside).partition(name)[0] + name.rstrip("/")

    def get_input_embeddings(self) -> keras.layers.Layer:
        """The body's, for which transformers asks."""
        return self.base_layer.get_input_embeddings()

    def merged(self) -> Mapping[str, tf.Tensor]:
        raise cannot_merge("A prompt is an input and no change of weights")

    def call(
        self,
        input_ids: tf.Tensor | None = None,
        attention_mask: tf.Tensor | None = None,
        inputs_embeds: tf.Tensor | None = None,
        token_type_ids: tf.Tensor | None = None,
        position_ids: tf.Tensor | None = None,
        **others: object,
    ) -> object:
        if position_ids is not None:
            raise UserError(
                "With a prompt, positions are counted from its first vector.",
                accepted="inputs without position_ids",
            )
        if inputs_embeds is None:
            # Keras keeps an embedding's matrix out of the automatic casts.
            inputs_embeds = tf.cast(self._embedded(input_ids), self.compute_dtype)
        batch = tf.shape(inputs_embeds)[0]
        prompt = tf.tile(tf.cast(self.prompt, inputs_embeds.dtype)[None], (batch, 1, 1))
        # The stacks do not take the same arguments: none of those left out is named.
        if token_type_ids is not None:
            others["token_type_ids"] = self.lengthened(token_type_ids, 0)
        return self.base_layer(
            None,
            attention_mask=self.lengthened(attention_mask, 1),
            inputs_embeds=tf.concat([prompt, inputs_embeds], axis=1),
            **others,
        )

    def lengthened(self, values: tf.Tensor | None, value: int) -> tf.Tensor | None:
        """`[batch, length]` with `value` for every vector of the prompt before it."""
        return lengthened(values, self.num_virtual_tokens, value)

    def _embedded(self, ids: tf.Tensor) -> tf.Tensor:
        embedded = tf.gather(self._matrix(), ids)
        return embedded * getattr(self.base_layer, "embed_scale", 1.0)

    def _matrix(self) -> tf.Variable:
        """The matrix of the input embeddings, `[vocabulary, width]`."""
        base = self.base_layer
        if hasattr(base, "embed_tokens"):
            return base.embed_tokens.embeddings
        return base.get_input_embeddings().weight


class PromptReader(DeltaLayer):
    """A decoder that reads an encoder with a prompt: it sees the prompt's outputs too.

    Args:
        base_layer: The decoder.
        method: The method it belongs to.
        num_virtual_tokens: Length of the prompt.
    """

    def __init__(
        self, base_layer: keras.layers.Layer, *, method: object, num_virtual_tokens: int
    ) -> None:
        super().__init__(base_layer, method=method)
        self.num_virtual_tokens = num_virtual_tokens

    def merged(self) -> Mapping[str, tf.Tensor]:
        raise cannot_merge("A prompt is an input and no change of weights")

    def call(
        self,
        input_ids: tf.Tensor | None = None,
        encoder_attention_mask: tf.Tensor | None = None,
        **others: object,
    ) -> object:
        mask = lengthened(encoder_attention_mask, self.num_virtual_tokens, 1)
        return self.base_layer(input_ids, encoder_attention_mask=mask, **others)


def lengthened(values: tf.Tensor | None, count: int, value: int) -> tf.Tensor | None:
    """`[batch, length]` with `count` times `value` at the front of every row."""
    if values is None:
        return None
    return tf.pad(values, [[0, 0], [count, 0]], constant_values=value)


def _check_ids(ids: Sequence[int], vocabulary: int) -> None:
    outside = sorted({token for token in ids if not 0 <= token < vocabulary})
    if outside:
        raise UserError(
            "The prompt starts from tokens that the model does not have.",
            accepted=f"ids from 0 to {vocabulary - 1}",
            received=", ".join(map(str, outside)),
        )
