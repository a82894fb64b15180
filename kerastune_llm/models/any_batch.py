"""Generation in graphs: what transformers does there that need not be so.

Its processors of forced and of forbidden tokens (BART's, Marian's) and its beam search
ask for the number of rows when a graph is traced, and fail where that is open. T5 finds
the end of what it generated in a list whose length depends on values, which a TPU can
hardly do.
"""

import contextlib
from collections.abc import Iterator, Sequence

from kerastune_llm.backend import keras, tf, transformers  # isort: skip

from transformers.generation import tf_utils
from transformers.models.t5 import modeling_tf_t5


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


class SuppressedTokens(transformers.TFLogitsProcessor):
    """Leaves some tokens impossible at every length.

    Args:
        token_ids: The tokens.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.token_ids = token_ids

    def __call__(
        self, input_ids: tf.Tensor, scores: tf.Tensor, cur_len: int | tf.Tensor
    ) -> tf.Tensor:
        """The scores `[rows, vocabulary]`, minus infinity for these tokens."""
        del input_ids, cur_len
        width = scores.shape[-1]
        marks = tf.one_hot(self.token_ids, width, on_value=True, off_value=False)
        nothing = tf.constant(-float("inf"), scores.dtype)
        return tf.where(tf.reduce_any(marks, axis=0), nothing, scores)


def processors_for_any_batch(
    settings: transformers.GenerationConfig, max_new_tokens: int
) -> dict[str, object]:
    """What has `generate` force and forbid the settings' tokens for any batch.

    `bad_words_ids` of one token each and `suppress_tokens` are the same thing said
    twice, the first time with ragged tensors, which XLA does not compile; bad words of
    several tokens are left as they are.

    Args:
        settings: The model's settings of generation.
        max_new_tokens: Tokens generated at most; the last of them is the forced one.

    Returns:
        Arguments of `generate`; none where the settings ask for nothing.
    """
    places = {"forced_bos_token_id": 1, "forced_eos_token_id": max_new_tokens}
    found: dict[str, transformers.TFLogitsProcessor] = {
        name: ForcedToken(getattr(settings, name), length)
        for name, length in places.items()
        if getattr(settings, name, None) is not None
    }
    if settings.bad_words_ids and not has_bad_phrases(settings):
        tokens = [token for (token,) in settings.bad_words_ids]
        found["bad_words_ids"] = SuppressedTokens(tokens)
    if settings.suppress_tokens:
        found["suppress_tokens"] = SuppressedTokens(settings.suppress_tokens)
    if not found:
        return {}
    # A forced token is possible even where it is suppressed: they come last.
    forced_last = sorted(found, key=lambda name: name in places)
    processors = transformers.TFLogitsProcessorList(found[n] for n in forced_last)
    return {"logits_processor": processors, **dict.fromkeys(found)}


def has_bad_phrases(settings: transformers.GenerationConfig) -> bool:
    """Whether the settings forbid what is longer than one token."""
    return any(len(phrase) > 1 for phrase in settings.bad_words_ids or ())


@contextlib.contextmanager
def open_batches() -> Iterator[None]:
    """Within it, `generate` can be traced for any number of rows.

    All shapes inside follow from those of the inputs.
    """
    modules = (tf_utils, modeling_tf_t5)
    before = [module.tf for module in modules]
    for module in modules:
        module.tf = _TensorFlow()
    try:
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            module.tf = own


class _TensorFlow:
    """TensorFlow as transformers sees it while it generates.

    `broadcast_to` takes shapes that are open, and `where` does not leave out places.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(tf, name)

    @staticmethod
    def where(condition: tf.Tensor, *values: object, **named: object) -> tf.Tensor:
        """As TensorFlow's; of a row alone its places `[length]`, -1 where it is false.

        The last one that is true is still the largest.
        """
        if values or named or condition.shape.rank != 1:
            return tf.where(condition, *values, **named)
        places = tf.range(tf.size(condition, tf.int64))
        return tf.where(condition, places, -tf.ones_like(places))

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


def obstacle_to_graphs(model: keras.Model) -> str | None:
    """Why this model's generation runs only uncompiled; `None` when it compiles."""
    settings = model.generation_config
    if not model.supports_xla_generation:
        return f"transformers cannot compile {type(model).__name__}"
    if settings.no_repeat_ngram_size:
        return f"the model sets no_repeat_ngram_size={settings.no_repeat_ngram_size}"
    if has_bad_phrases(settings):
        return "the model's bad_words_ids hold phrases of several tokens"
    return None
