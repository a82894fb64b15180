"""How sure a model is of what it generated."""

from kerastune_llm.backend import keras, tf, transformers


def sequence_scores(
    model: keras.Model,
    input_ids: tf.Tensor,
    attention_mask: tf.Tensor,
    sequences: tf.Tensor,
) -> tf.Tensor:
    """The geometric mean of the probabilities of each row's generated tokens.

    exp(1/n sum_i log p(token_i | tokens before it, input)), the end mark among the n
    tokens. One pass over the finished text gives it, whichever search found the text.

    Args:
        model: An encoder-decoder with an LM head.
        input_ids: int32 `[batch, length]`.
        attention_mask: 1 where there is a token, int32 `[batch, length]`.
        sequences: What `generate` gives, int32 `[batch, 1 + generated]`: the start
            token, then the generated ones; those after the end mark do not count.

    Returns:
        float32 `[batch]`, between 0 and 1; higher is surer.
    """
    tokens = sequences[:, 1:]
    logits = model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        decoder_input_ids=sequences[:, :-1],
        training=False,
    ).logits
    everything = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    chosen = tf.gather(everything, tokens, batch_dims=2)
    is_end = is_end_token(model, tokens)
    ended = tf.cumsum(tf.cast(is_end, tf.int32), axis=1, exclusive=True) > 0
    counted = tf.cast(~ended, tf.float32)
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(chosen * counted, axis=1), tf.reduce_sum(counted, axis=1)
    )
    return tf.exp(mean)


def is_end_token(model: keras.Model, tokens: tf.Tensor) -> tf.Tensor:
    """Whether each token is one of the model's end marks, bool of the same shape."""
    ends = list(end_token_ids(model.generation_config))
    return tf.reduce_any(tokens[..., tf.newaxis] == ends, axis=-1)


def end_token_ids(settings: transformers.GenerationConfig) -> tuple[int, ...]:
    """The ids that end a text: one, several, or -1, which no token is, for none."""
    end = settings.eos_token_id
    if end is None:
        return (-1,)
    return tuple(end) if isinstance(end, (list, tuple)) else (end,)
