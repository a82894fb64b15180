"""A T5 on packed rows: every example computed as if it were alone in its row.

Attention is masked to the example's own tokens, in the encoder, the decoder and between
the two. T5 knows positions by their differences only, which are the same wherever in a
row an example stands, so nothing else has to change.
"""

from collections.abc import Mapping
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.labelled_tokens import IGNORED

# Their stacks take a mask `[batch, length, length]`, and count no absolute positions.
PACKABLE = ("t5", "mt5")


def is_packed(batch: Mapping[str, tf.Tensor]) -> bool:
    """Whether the rows of a batch hold several examples each."""
    return "input_segments" in batch


def count_examples(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """How many examples a packed batch has, int32: each row's numbers go from 1."""
    return tf.reduce_sum(tf.reduce_max(batch["input_segments"], axis=1))


def call_packed(
    model: keras.Model, batch: Mapping[str, tf.Tensor], *, training: bool
) -> Any:
    """The model's outputs for packed rows.

    Args:
        model: A T5 or mT5 that writes text.
        batch: `input_ids` and `input_segments` `[rows, length]`, `labels` and
            `target_segments` `[rows, target_length]`. Segments are numbered from 1 in
            each row, 0 is padding; labels of -100 count nothing.
        training: Whether dropout is on.

    Returns:
        What the model returns: the logits at a label are those of its example alone.
    """
    inputs, targets = batch["input_segments"], batch["target_segments"]
    encoded = model.encoder(
        batch["input_ids"], attention_mask=_same(inputs, inputs), training=training
    )
    places = tf.range(tf.shape(targets)[1])
    causal = tf.cast(places[:, None] >= places[None, :], tf.int32)
    return model(
        {
            "encoder_outputs": (encoded[0],),
            "attention_mask": _same(targets, inputs),
            "decoder_input_ids": _shifted(model, batch["labels"], targets),
            "decoder_attention_mask": _same(targets, targets) * causal,
            "labels": batch["labels"],
        },
        training=training,
    )


def _same(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """1 where a query and a key are of one segment, int32 `[rows, queries, keys]`."""
    return tf.cast(queries[:, :, None] == keys[:, None, :], tf.int32)


def _shifted(model: keras.Model, labels: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
    """The decoder's input: each segment's labels one later, the start mark first."""
    config = model.config
    before = tf.pad(labels[:, :-1], [[0, 0], [1, 0]])
    is_first = segments != tf.pad(segments[:, :-1], [[0, 0], [1, 0]])
    shifted = tf.where(is_first, config.decoder_start_token_id, before)
    return tf.where(shifted == IGNORED, config.pad_token_id, shifted)
