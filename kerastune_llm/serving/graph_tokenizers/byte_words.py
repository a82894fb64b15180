"""GPT-2's parting of text into words, in the graph: RoBERTa, BART, DeBERTa."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from tokenizers import Regex, normalizers

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.characters import CODE_POINTS, varied_points
from kerastune_llm.serving.graph_tokenizers.support import unsupported

OTHER, SPACE, LETTER, NUMBER, BORDER = range(5)
_CLASSES = {SPACE: r"\s", LETTER: r"\p{L}", NUMBER: r"\p{N}"}
_CHUNK = 4096
_BLANK, _APOSTROPHE = ord(" "), ord("'")
_SHORT, _LONG = ("s", "t", "m", "d"), ("re", "ve", "ll")


class ByteWords(tf.Module):
    r"""Texts to words as GPT-2's pattern parts them.

    The pattern, which looks ahead and so is none for RE2:
    `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    But whether a word begins at a character depends on
    nothing except the kind of that character (white space, letter, number, other) and
    on its neighbours: all of it is a few comparisons of shifted arrays.

    Args:
        spec: The `pre_tokenizer` of tokenizer.json.

    Raises:
        UnsupportedTokenizer: It is not `ByteLevel` with that pattern.
    """

    def __init__(self, spec: Mapping[str, Any] | None) -> None:
        super().__init__()
        if not spec or spec["type"] != "ByteLevel":
            raise unsupported("pre-tokenizer", spec["type"] if spec else "none")
        if not spec["use_regex"]:
            raise unsupported("pre-tokenizer", "ByteLevel without its pattern")
        self._adds_space = spec["add_prefix_space"]
        self._kinds = tf.constant(character_kinds())

    def __call__(self, texts: tf.Tensor, is_first: tf.Tensor) -> tf.RaggedTensor:
        """Words of each text with the space before them, string `[n, (words)]`."""
        del is_first  # Every part between two added tokens is treated alike.
        if self._adds_space:
            spaced = (texts == "") | (tf.strings.substr(texts, 0, 1) == " ")
            texts = tf.where(spaced, texts, tf.strings.join([" ", texts]))
        points = tf.strings.unicode_decode(texts, "UTF-8")
        flat, rows = points.flat_values, points.value_rowids()
        kinds = tf.cast(tf.gather(self._kinds, flat), tf.int32)
        begins = _begins(flat, kinds, rows != _before(rows, -1))
        starts = tf.where(begins)[:, 0]
        words = tf.RaggedTensor.from_row_starts(flat, starts)
        return tf.RaggedTensor.from_value_rowids(
            tf.strings.unicode_encode(words, "UTF-8"),
            tf.gather(rows, starts),
            nrows=points.nrows(),
        )


@functools.cache
def character_kinds() -> np.ndarray:
    """The kind of every character of Unicode, uint8, as `tokenizers` itself sees it.

    Versions of Unicode differ in thousands of letters, and so do Python and RE2.

    >>> [int(character_kinds()[ord(c)]) for c in "é7 !"]
    [2, 3, 1, 0]
    """
    kinds = np.full([CODE_POINTS], OTHER, np.uint8)
    points = varied_points()
    for kind, pattern in _CLASSES.items():
        taken = normalizers.Replace(Regex(pattern), "")
        for start in range(0, len(points), _CHUNK):
            chunk = points[start : start + _CHUNK]
            left = set(taken.normalize_str("".join(map(chr, chunk))))
            kinds[[point for point in chunk if chr(point) not in left]] = kind
    return kinds


def _begins(points: tf.Tensor, kinds: tf.Tensor, opens: tf.Tensor) -> tf.Tensor:
    """Whether a word begins at each character, bool `[characters]`.

    Args:
        points: Code points of all texts.
        kinds: Their kinds.
        opens: Whether each is the first of its text.
    """
    closes = _after(opens, True)
    left = tf.where(opens, BORDER, _before(kinds, BORDER))
    right = tf.where(closes, BORDER, _after(kinds, BORDER))
    after_blank = ~opens & (_before(points, -1) == _BLANK)
    # Of several white spaces the last stands alone where something follows it, for a
    # blank belongs to the word after it.
    last_of_spaces = (right != SPACE) & (right != BORDER)
    begins_space = (left != SPACE) | last_of_spaces
    begins_other = tf.where(left == SPACE, ~after_blank, left != kinds)
    begins = tf.where(kinds == SPACE, begins_space, begins_other)
    # A contraction is one where a match begins at its apostrophe.
    marks = (points == _APOSTROPHE) & (left != OTHER) & ~after_blank
    second = tf.where(closes, -1, _after(points, -1))
    third = tf.where(closes | _after(closes, True), -1, _after(_after(points, -1), -1))
    short = marks & _any(second == ord(letter) for letter in _SHORT)
    long = marks & _any(
        (second == ord(pair[0])) & (third == ord(pair[1])) for pair in _LONG
    )
    within = _before(short | long, False)
    follows = _before(
        _before(short, False) | _before(_before(long, False), False), False
    )
    return opens | ((begins | follows) & ~within)


def _any(flags: Any) -> tf.Tensor:
    return functools.reduce(tf.logical_or, flags)


def _before(values: tf.Tensor, first: int | bool) -> tf.Tensor:
    """What stands before each value, `first` before the first."""
    return tf.concat([[tf.cast(first, values.dtype)], values[:-1]], 0)[
        : tf.size(values)
    ]


def _after(values: tf.Tensor, last: int | bool) -> tf.Tensor:
    """What stands after each value, `last` after the last."""
    shifted = tf.concat([values[1:], [tf.cast(last, values.dtype)]], 0)
    return shifted[: tf.size(values)]
