"""Generation in graphs for batches of any size, where transformers needs to know it.

Its processors of forced tokens (BART's, mBART's) and its beam search ask for the number
of rows when a graph is traced, and fail where that is open.
"""

import contextlib
from collections.abc import Iterator

from kerastune_llm.backend import tf, transformers  # isort: skip

from transformers.generation import tf_utils


class ForcedToken(transformers.TFLogitsProcessor):
    """Leaves one token possible at one length.

    Args:
        token_id: The token.
        length: How many tokens stand before it, the start token included.
    """

    def __init__(self, token_id: int, length: int) -> None:
        self.token_id = token_id
        self.length = length

    def __call__(
        self, input_ids: tf.Tensor, scores: tf.Tensor, cur_len: int | tf.Tensor
    ) -> tf.Tensor:
        """The scores `[rows, vocabulary]`, at that length 0 and minus infinity."""
        del input_ids
        forced = tf.one_hot(
            [self.token_id],
            scores.shape[-1],
            on_value=tf.zeros([], scores.dtype),
            off_value=tf.constant(-float("inf"), scores.dtype),
        )
        return tf.where(tf.equal(cur_len, self.length), forced, scores)


def forced_tokens(
    settings: transformers.GenerationConfig, max_new_tokens: int
) -> dict[str, object]:
    """What has `generate` force the settings' first and last token for any batch.

    Args:
        settings: The model's settings of generation.
        max_new_tokens: Tokens generated at most; the last of them is the forced one.

    Returns:
        Arguments of `generate`; none where the settings force nothing.
    """
    places = {
        "forced_bos_token_id": 1,
        "forced_eos_token_id": max_new_tokens,
    }
    forced = {
        name: ForcedToken(getattr(settings, name), length)
        for name, length in places.items()
        if getattr(settings, name, None) is not None
    }
    if not forced:
        return {}
    processors = transformers.TFLogitsProcessorList(forced.values())
    return {"logits_processor": processors, **dict.fromkeys(forced)}


@contextlib.contextmanager
def open_batches() -> Iterator[None]:
    """Within it, transformers' beam search can be traced for any number of rows."""
    before = tf_utils.tf
    tf_utils.tf = _TensorFlow()
    try:
        yield
    finally:
        tf_utils.tf = before


class _TensorFlow:
    """TensorFlow as beam search sees it: `broadcast_to` takes shapes that are open."""

    def __getattr__(self, name: str) -> object:
        return getattr(tf, name)

    @staticmethod
    def broadcast_to(values: tf.Tensor, shape: tf.TensorShape | list) -> tf.Tensor:
        """As TensorFlow's; dimensions that are open are those of the values."""
        if isinstance(shape, tf.TensorShape) and not shape.is_fully_defined():
            # Dimensions belong together from the last on.
            sizes, rank = tf.shape(values), len(shape)
            last = values.shape.rank - rank
            shape = [
                sizes[last + i] if shape[i] is None else shape[i] for i in range(rank)
            ]
        return tf.broadcast_to(values, shape)
