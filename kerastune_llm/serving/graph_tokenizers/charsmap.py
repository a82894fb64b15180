"""SentencePiece's precompiled character map, read as Hugging Face's tokenizers read it.

The two do not read it alike. SentencePiece takes the longest key at each place of the
text; `tokenizers` goes from one user-perceived character (grapheme cluster) to the
next, and replaces a cluster of less than six bytes whole by the value of its shortest
key: "e" with circumflex and acute, three characters, becomes "ê". Models here are
trained on the ids of `tokenizers`, so this is what the graph must do.
"""

import struct
from dataclasses import dataclass

import numpy as np
from tokenizers import normalizers

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.characters import CODE_POINTS, CharacterMap

# Clusters of this many bytes and more are read character by character.
_CLUSTER_BYTES = 6
# Within that limit: one byte and two of two bytes each.
_CLUSTER_CHARACTERS = 3
_ACUTE = "\u0301"
# Grapheme_Cluster_Break=Prepend: the next character continues their cluster.
_PREPENDED = (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2)


def read_charsmap(blob: bytes, *, longest_key: int) -> dict[str, str]:
    """The keys of a precompiled character map, up to a length, with their values.

    Args:
        blob: A length, a double-array trie (Darts-clone) of that many bytes over the
            keys' UTF-8, and the values, each ended by a zero byte.
        longest_key: In bytes.
    """
    (size,) = struct.unpack_from("<I", blob)
    units = np.frombuffer(blob, "<u4", size // 4, offset=4).astype(np.int64)
    values = blob[4 + size :]
    found: dict[str, str] = {}
    keys, nodes = np.zeros([1, 0], np.uint8), _offsets(units[:1])
    for _ in range(longest_key):
        keys, children = _children(units, keys, nodes)
        nodes = children ^ _offsets(units[children])
        ends = units[children] >> 8 & 1 == 1
        starts = units[nodes[ends]] & 0x7FFFFFFF
        for key, start in zip(keys[ends], starts.tolist(), strict=True):
            value = values[start : values.index(b"\0", start)]
            found[key.tobytes().decode("utf-8")] = value.decode("utf-8")
    return found


def _children(
    units: np.ndarray, keys: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keys, one byte longer, and units of all children; a unit is labelled its byte."""
    bytes_ = np.arange(1, 256)
    places = nodes[:, np.newaxis] ^ bytes_
    inside = places < len(units)
    labels = units[np.where(inside, places, 0)] & 0x800000FF
    parents, columns = np.nonzero(inside & (labels == bytes_))
    longer = np.column_stack([keys[parents], bytes_[columns].astype(np.uint8)])
    return longer, places[parents, columns]


def _offsets(units: np.ndarray) -> np.ndarray:
    return (units >> 10) << ((units & 0x200) >> 6)


@dataclass(frozen=True)
class _Clusters:
    """Characters by what they do to clusters.

    Args:
        joining: Bool by code point: continues the cluster before it.
        closed: Bool by code point: nothing continues it, as after a control character.
    """

    joining: np.ndarray
    closed: np.ndarray


def _observe_clusters(blob: bytes, keys: dict[str, str]) -> _Clusters:
    """Ask `tokenizers` which characters continue a cluster.

    A key of two bytes swallows what continues it. Of the characters that are never
    continued only keys and the control characters matter.
    """
    rewrite = normalizers.Precompiled(blob).normalize_str
    joining = np.zeros([CODE_POINTS], bool)
    closed = np.zeros([CODE_POINTS], bool)
    closed[:0x20] = closed[0x7F:0xA0] = True
    for key, value in keys.items():
        if len(key) == 1 and len(key.encode()) < 4:
            closed[ord(key)] = rewrite(f"{key}{_ACUTE}a") != f"{value}a"
    probes = [key for key in keys if len(key) == 1 and len(key.encode()) == 2]
    probe = next((key for key in probes if not closed[ord(key)]), None)
    if probe is not None:
        for point in (*range(0x80, 0xD800), *range(0xE000, 0x10000)):
            # What is dropped in any case shows nothing here and changes nothing there.
            dropped = keys.get(chr(point)) == ""
            swallowed = rewrite(f"{probe}{chr(point)}a") == f"{keys[probe]}a"
            joining[point] = swallowed and not dropped
    return _Clusters(joining, closed)


class Charsmap(tf.Module):
    """A precompiled character map as operations on UTF-8 text.

    Args:
        blob: The map as in a SentencePiece model or in tokenizer.json.
    """

    def __init__(self, blob: bytes) -> None:
        super().__init__()
        keys = read_charsmap(blob, longest_key=_CLUSTER_BYTES - 1)
        singles = {key: value for key, value in keys.items() if len(key) == 1}
        composed = {key: value for key, value in keys.items() if len(key) > 1}
        clusters = _observe_clusters(blob, keys)
        self._characters = CharacterMap(singles)
        self._is_key = tf.constant(_points(singles))
        self._joining = tf.constant(clusters.joining)
        self._closed = tf.constant(clusters.closed)
        self._composed = _table(composed, default="")
        self._is_composed = _table(dict.fromkeys(composed, 1), default=0)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Rewritten texts, string `[n]`."""
        points = tf.strings.unicode_decode(texts, "UTF-8")
        flat = points.flat_values
        joins = self._joins(flat, points.row_splits)
        characters = self._characters.of(flat)
        rewritten = tf.cond(
            tf.reduce_any(joins),
            lambda: self._with_clusters(flat, joins, characters),
            lambda: characters,
        )
        return tf.strings.reduce_join(points.with_flat_values(rewritten), axis=-1)

    def _joins(self, points: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
        """Whether each character continues the cluster before it, bool `[n]`."""
        before = tf.concat([[0], points[:-1]], axis=0)
        joins = tf.gather(self._joining, points) & ~tf.gather(self._closed, before)
        prepended = tf.reduce_any(before[:, tf.newaxis] == _PREPENDED, axis=1)
        joins |= prepended & ~tf.gather(self._closed, points)
        joins |= (points == ord("\n")) & (before == ord("\r"))
        rows_start = tf.scatter_nd(
            row_splits[:-1, tf.newaxis],
            tf.ones_like(row_splits[:-1]),
            [tf.size(points, tf.int64) + 1],
        )
        return joins & (rows_start[:-1] == 0)

    def _with_clusters(
        self, points: tf.Tensor, joins: tf.Tensor, characters: tf.Tensor
    ) -> tf.Tensor:
        """The characters' texts, with those of short clusters drawn together."""
        number = tf.cumsum(tf.cast(~joins, tf.int32)) - 1
        same = tf.strings.unicode_encode(points[:, tf.newaxis], "UTF-8")
        clusters = tf.RaggedTensor.from_value_rowids(same, number)
        sizes = clusters.row_lengths()
        lengths = tf.reduce_sum(tf.strings.length(clusters), axis=1)
        firsts = tf.boolean_mask(points, ~joins)
        short = (sizes > 1) & (lengths < _CLUSTER_BYTES)
        value = tf.boolean_mask(characters, ~joins)
        whole = short & tf.gather(self._is_key, firsts)
        for count in range(2, _CLUSTER_CHARACTERS + 1):
            key = tf.strings.reduce_join(clusters[:, :count], axis=1)
            found = short & ~whole & (self._is_composed.lookup(key) == 1)
            value = tf.where(found, self._composed.lookup(key), value)
            whole |= found
        drawn = tf.gather(whole, number)
        return tf.where(
            drawn, tf.where(joins, "", tf.gather(value, number)), characters
        )


def _points(characters: dict[str, str]) -> np.ndarray:
    table = np.zeros([CODE_POINTS], bool)
    table[[ord(character) for character in characters]] = True
    return table


def _table(entries: dict, *, default: str | int) -> tf.lookup.StaticHashTable:
    kind = tf.string if isinstance(default, str) else tf.int32
    values = tf.constant(list(entries.values()), kind)
    keys = tf.constant(list(entries), tf.string)
    initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
    return tf.lookup.StaticHashTable(initializer, default)
