"""Special tokens around one text or two, and cutting to a maximal length."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.support import unsupported

FIRST, SECOND = "first", "second"


@dataclass(frozen=True)
class Slot:
    """One place in a framed input.

    Args:
        content: A special token's id, or which text stands there.
        type_id: The token type of what stands there.
    """

    content: int | str
    type_id: int


def read_frame(tokenizer: PreTrainedTokenizerBase, *, pair: bool) -> tuple[Slot, ...]:
    """Where a tokenizer puts its special tokens, seen from an example.

    >>> from transformers import AutoTokenizer
    >>> from kerastune_llm.models.sources import resolve_source
    >>> tokenizer = AutoTokenizer.from_pretrained(resolve_source("starter"))
    >>> read_frame(tokenizer, pair=False)
    (Slot(content='first', type_id=0), Slot(content=1, type_id=0))
    """
    encoded = tokenizer("a", *["a"] * pair, return_token_type_ids=True)
    names = (FIRST, SECOND)
    slots: list[Slot] = []
    for token, place, kind in zip(
        encoded["input_ids"],
        encoded.sequence_ids(0),
        encoded["token_type_ids"],
        strict=True,
    ):
        slot = Slot(token if place is None else names[place], kind)
        if place is None or slot not in slots:
            slots.append(slot)
    return tuple(slots)


class Frame(tf.Module):
    """Cuts ids of one or two texts and puts special tokens around them.

    Args:
        tokenizer: A fast tokenizer.
        pair: Whether there are two texts.
        max_tokens: Longest result, special tokens included. Two texts are cut as
            `tokenizers` does it, the longer first, both alike from there on.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, pair: bool, max_tokens: int
    ) -> None:
        super().__init__()
        self._slots = read_frame(tokenizer, pair=pair)
        if tokenizer.truncation_side != "right":
            raise unsupported("truncation side", tokenizer.truncation_side)
        specials = sum(isinstance(slot.content, int) for slot in self._slots)
        self._room = max_tokens - specials

    def __call__(
        self, first: tf.RaggedTensor, second: tf.RaggedTensor | None
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Ids and token types, int32 `[n, (ids)]`."""
        texts = {FIRST: first[:, : self._room]}
        if second is not None:
            kept = _kept(first.row_lengths(), second.row_lengths(), self._room)
            texts = {FIRST: _cut(first, kept[0]), SECOND: _cut(second, kept[1])}
        ids = [self._filled(slot, texts) for slot in self._slots]
        types = [
            tf.ones_like(part) * slot.type_id
            for part, slot in zip(ids, self._slots, strict=True)
        ]
        return tf.concat(ids, 1), tf.concat(types, 1)

    def _filled(self, slot: Slot, texts: dict[str, tf.RaggedTensor]) -> tf.RaggedTensor:
        if isinstance(slot.content, str):
            return texts[slot.content]
        rows = texts[FIRST].nrows()
        column = tf.fill([rows, 1], slot.content)
        return tf.RaggedTensor.from_tensor(column)


def _kept(
    first: tf.Tensor, second: tf.Tensor, room: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lengths that are left of two texts, int64 `[n]` each."""
    shorter, longer = tf.minimum(first, second), tf.maximum(first, second)
    longer = tf.where(shorter > room, shorter, tf.maximum(shorter, room - shorter))
    halved = shorter + longer > room
    shorter = tf.where(halved, tf.cast(room // 2, tf.int64), shorter)
    longer = tf.where(halved, shorter + room % 2, longer)
    swapped = first > second
    cut = first + second > room
    new_first = tf.where(swapped, longer, shorter)
    new_second = tf.where(swapped, shorter, longer)
    return tf.where(cut, new_first, first), tf.where(cut, new_second, second)


def _cut(ids: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    places = tf.ragged.range(ids.row_lengths())
    inside = places.flat_values < tf.gather(lengths, ids.value_rowids())
    return tf.ragged.boolean_mask(ids, ids.with_values(inside))
