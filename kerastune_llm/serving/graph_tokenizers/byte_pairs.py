"""Byte-level BPE in the graph: words to ids by merging pairs of symbols."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.support import unsupported

# Parts of a BPE model that change how it merges; all must be absent.
_OPTIONS = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


class BytePairs(tf.Module):
    """Words to ids by merging the pair of the lowest rank until there is none.

    All words are merged side by side, each different word once. A round merges in
    every word the pairs of its lowest rank, from the left. In a word longer than the
    longest symbol that is done for each stretch by itself: a pair is merged when none
    of a lower rank is so near that a symbol made of it could reach the pair.

    Args:
        spec: The `model` of tokenizer.json.

    Raises:
        UnsupportedTokenizer: It merges in another way, or lacks some bytes.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        for option in _OPTIONS:
            if spec.get(option):
                raise unsupported("BPE model with", f"{option} {spec[option]!r}")
        vocabulary = spec["vocab"]
        alphabet = bytes_to_unicode()
        if not all(character in vocabulary for character in alphabet.values()):
            raise unsupported("BPE model", "without all 256 bytes")
        merges = [tuple(pair) for pair in spec["merges"]]
        if _is_circular(merges):
            raise unsupported("BPE model", "with merges that are not in order")
        self._size = max(vocabulary.values()) + 1
        self._none = len(merges)
        self._longest = max([1, *(len(a) + len(b) for a, b in merges)])
        self._byte_ids = tf.constant([vocabulary[alphabet[b]] for b in range(256)])
        merged = [vocabulary[a + b] for a, b in merges]
        self._merged = tf.constant([*merged, 0], tf.int32)
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        keys = [vocabulary[a] * self._size + vocabulary[b] for a, b in ranks]
        self._ranks = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(keys, tf.int64),
                tf.constant(list(ranks.values()), tf.int64),
            ),
            self._none,
        )

    def __call__(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids of each text, int32 `[n, (ids)]`."""
        different, places = tf.unique(words.flat_values)
        ids = tf.gather(self._ids(different), places)
        return words.with_flat_values(ids).merge_dims(1, 2)

    def _ids(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Ids of words, string `[n]`: int32 `[n, (ids)]`."""
        letters = tf.strings.bytes_split(words)
        values = tf.reshape(tf.io.decode_raw(letters.flat_values, tf.uint8), [-1])
        symbols = tf.gather(self._byte_ids, tf.cast(values, tf.int32))
        rows = tf.cast(letters.value_rowids(), tf.int32)
        state = (symbols, rows, symbols[:0], rows[:0])
        _, _, symbols, rows = tf.while_loop(
            lambda symbols, *_: tf.size(symbols) > 0,
            self._round,
            state,
            shape_invariants=(tf.TensorShape([None]),) * len(state),
        )
        order = tf.argsort(rows, stable=True)
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(symbols, order),
            tf.cast(tf.gather(rows, order), tf.int64),
            nrows=tf.size(words, tf.int64),
        )

    def _round(
        self,
        symbols: tf.Tensor,
        rows: tf.Tensor,
        done_symbols: tf.Tensor,
        done_rows: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Merge once in every word; words in which nothing merges are done.

        Args:
            symbols: Of the words that are not done, int32 `[m]`.
            rows: The word of each symbol, ascending.
            done_symbols: Of the words that are.
            done_rows: Their words.
        """
        ranks = self._pair_ranks(symbols, rows)
        _, words = _numbered(_differ(rows))
        is_done = tf.gather(tf.math.segment_min(ranks, words) == self._none, words)
        chosen = self._chosen(ranks, words)
        symbols = tf.where(chosen, tf.gather(self._merged, ranks), symbols)
        swallowed = tf.concat([[False], chosen[:-1]], 0)
        stays = ~is_done & ~swallowed
        return (
            tf.boolean_mask(symbols, stays),
            tf.boolean_mask(rows, stays),
            tf.concat([done_symbols, tf.boolean_mask(symbols, is_done)], 0),
            tf.concat([done_rows, tf.boolean_mask(rows, is_done)], 0),
        )

    def _pair_ranks(self, symbols: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The rank of each symbol with the next, int32 `[m]`; `_none` for no merge."""
        left, right = tf.cast(symbols[:-1], tf.int64), tf.cast(symbols[1:], tf.int64)
        ranks = tf.cast(self._ranks.lookup(left * self._size + right), tf.int32)
        ranks = tf.where(rows[:-1] == rows[1:], ranks, self._none)
        return tf.concat([ranks, [self._none]], 0)

    def _chosen(self, ranks: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """Which pairs are merged in a round, bool `[m]`; no two of them overlap."""
        index = tf.range(tf.size(ranks))
        firsts, _ = _numbered(_differ(words))
        place = index - tf.gather(firsts, words)
        # Blocks of as many symbols as the longest has bytes: nothing reaches across.
        block_firsts, blocks = _numbered(place % self._longest == 0)
        least = tf.math.segment_min(ranks, blocks)
        of_word = tf.gather(words, block_firsts)
        same = of_word[:-1] == of_word[1:]
        before = tf.concat([[self._none], tf.where(same, least[:-1], self._none)], 0)
        after = tf.concat([tf.where(same, least[1:], self._none), [self._none]], 0)
        near = tf.minimum(least, tf.minimum(before, after))
        is_least = (ranks < self._none) & (ranks == tf.gather(near, blocks))
        # In a run such as "aaaa" every second pair is merged, counted from the left;
        # a run is taken whole, because its left end decides which.
        run_firsts, runs = _numbered(_differ(ranks))
        whole = tf.math.segment_min(tf.cast(is_least, tf.int32), runs)
        is_even = (index - tf.gather(run_firsts, runs)) % 2 == 0
        return is_even & (tf.gather(whole, runs) == 1)


def _differ(values: tf.Tensor) -> tf.Tensor:
    """Whether each value differs from the one before; the first does."""
    return tf.concat([[True], values[1:] != values[:-1]], 0)


def _numbered(begins: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each part begins, and the number of the part that each value is in."""
    firsts = tf.cast(tf.where(begins)[:, 0], tf.int32)
    return firsts, tf.cumsum(tf.cast(begins, tf.int32)) - 1


def _is_circular(merges: Sequence[tuple[str, str]]) -> bool:
    """Whether a symbol is put to use by a merge before the last one that makes it.

    Then merging all pairs of one rank at a time is not merging one pair at a time.
    Training never gives that.
    """
    last_made = {a + b: rank for rank, (a, b) in enumerate(merges)}
    return any(
        last_made.get(part, -1) > rank
        for rank, pair in enumerate(merges)
        for part in pair
    )


def token_bytes(token: str) -> bytes:
    """What a token of a byte-level vocabulary stands for.

    Added tokens are plain text, which may hold characters that stand for no byte.

    >>> token_bytes("Ġcaf\\u00c3\\u00a9"), token_bytes("<mask 中>")
    (b' caf\\xc3\\xa9', b'<mask \\xe4\\xb8\\xad>')
    """
    values = [_BYTES.get(character) for character in token]
    return token.encode() if None in values else bytes(values)


_BYTES: dict[str, int] = {c: byte for byte, c in bytes_to_unicode().items()}
