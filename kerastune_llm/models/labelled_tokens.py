"""The scores of the vocabulary for tokens that have a label, and for no padding.

The product with the vocabulary's matrix is a decoder's largest, and its result the
largest tensor of a step. Targets of a batch differ in length: what stands after the end
of the shorter ones counts for nothing in the loss.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.models.attributes import Stand, replaced
from kerastune_llm.models.stacks import last_before_head

IGNORED = -100

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@contextlib.contextmanager
def labelled_tokens_only(model: keras.Model, labels: tf.Tensor) -> Iterator[None]:
    """Within it, a model called with `labels` scores the tokens that have one.

    The loss is the same; `logits` are `[1, tokens with a label, vocabulary]`. XLA does
    not know how many there are: with `jit_compile`, or labels of a known length, all
    tokens are scored.

    Args:
        model: An encoder-decoder with an LM head.
        labels: int `[batch, length]`, -100 where there is none; some there must be.
    """
    holder, attribute = last_before_head(model)
    last, loss = getattr(holder, attribute), _mended_loss(model)
    if labels.shape[1] is not None or model.jit_compile:
        with replaced(model, "hf_compute_loss", loss):
            yield
        return
    places = tf.where(tf.reshape(labels, [-1]) != IGNORED)[:, 0]

    def gathered(values: tf.Tensor) -> tf.Tensor:
        """`[batch, length, …]` as `[1, tokens, …]`."""
        flat = tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], axis=0))
        flat.set_shape([None, *values.shape[2:]])
        return tf.gather(flat, places)[None]

    def of_labelled(*arguments: Any, **options: Any) -> Any:
        outputs = last(*arguments, **options)
        hidden = gathered(outputs["last_hidden_state"])
        return type(outputs)(**{**outputs, "last_hidden_state": hidden})

    def own_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return loss(gathered(labels), logits)

    with (
        replaced(holder, attribute, Stand(last, of_labelled)),
        replaced(model, "hf_compute_loss", own_loss),
    ):
        yield


def _mended_loss(model: keras.Model) -> Loss:
    """The model's loss of labels and logits.

    LED's leaves out its padding token, and takes -100 for the token 0.
    """
    loss = model.hf_compute_loss
    if model.config.model_type != "led":
        return loss
    padding = model.config.pad_token_id
    return lambda labels, logits: loss(
        tf.where(labels == IGNORED, padding, labels), logits
    )
