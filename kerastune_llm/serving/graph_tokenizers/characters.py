"""A rewriting of text that looks at one character at a time, as a gather."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerastune_llm.backend import tf

CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)
# Planes of one kind throughout, unassigned or private, of which one character says all.
_UNIFORM_PLANES = (*range(0x4, 0xE), 0xF, 0x10)
_PLANE = 0x10000
_CHUNK = 4096
# Letters that no normalizer changes stand around each character, and a word of them
# between two characters, so that neighbours never meet.
_FENCE = "a"
_BETWEEN = " zqz "


def observe(function: Callable[[str], str]) -> dict[str, str]:
    """What a function of text makes of every character of Unicode.

    Args:
        function: Rewrites each character by itself, and leaves `a`, `z`, `q` and
            single spaces between them alone.

    Returns:
        The characters that change, and what they become.

    Raises:
        ValueError: The function changes the plain letters.

    Example:
    >>> observe(str.lower)["É"]
    'é'
    """
    changed = _observe(function, list(map(chr, varied_points())))
    for plane in _UNIFORM_PLANES:
        first = chr(plane * _PLANE)
        rewritten = _observe(function, [first]).get(first)
        if rewritten is not None:
            points = range(plane * _PLANE, (plane + 1) * _PLANE)
            changed |= {chr(p): rewritten.replace(first, chr(p)) for p in points}
    return changed


def varied_points() -> list[int]:
    """The code points of characters, without planes that hold one kind throughout."""
    return [
        point
        for point in range(CODE_POINTS)
        if point not in _SURROGATES and point // _PLANE not in _UNIFORM_PLANES
    ]


def _observe(
    function: Callable[[str], str], characters: Sequence[str]
) -> dict[str, str]:
    changed: dict[str, str] = {}
    for start in range(0, len(characters), _CHUNK):
        chunk = characters[start : start + _CHUNK]
        fenced = (f"{_FENCE}{character}{_FENCE}" for character in chunk)
        texts = function(_BETWEEN.join(fenced)).split(_BETWEEN)
        if len(texts) != len(chunk):
            raise ValueError("The function changes plain letters.")
        for character, text in zip(chunk, texts, strict=True):
            if text[1:-1] != character:
                changed[character] = text[1:-1]
    return changed


class CharacterMap(tf.Module):
    """Replaces single characters in UTF-8 text.

    A dense table from code point to replacement, 2.2 MB: a gather is several times
    faster than looking up strings.

    Args:
        changed: Characters and what each becomes; all others stay.
    """

    def __init__(self, changed: Mapping[str, str]) -> None:
        super().__init__()
        spaced = {c for c, text in changed.items() if text == f" {c} "}
        texts = sorted({text for c, text in changed.items() if c not in spaced})
        number = {text: index for index, text in enumerate(texts, start=2)}
        kinds = np.zeros([CODE_POINTS], np.uint16 if len(texts) < 65_000 else np.int32)
        for character, text in changed.items():
            kinds[ord(character)] = 1 if character in spaced else number[text]
        # Kind 0 stays, kind 1 gets spaces around it; the rest have texts of their own.
        self._kinds = tf.constant(kinds)
        self._texts = tf.constant(["", "", *texts])

    def of(self, points: tf.Tensor) -> tf.Tensor:
        """The texts, string `[n]`, that code points, int32 `[n]`, become."""
        kinds = tf.cast(tf.gather(self._kinds, points), tf.int32)
        same = tf.strings.unicode_encode(points[:, tf.newaxis], "UTF-8")
        spaced = tf.strings.join([" ", same, " "])
        texts = tf.gather(self._texts, kinds)
        return tf.where(kinds == 0, same, tf.where(kinds == 1, spaced, texts))

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Rewritten texts, string `[n]`."""
        points = tf.strings.unicode_decode(texts, "UTF-8")
        rewritten = points.with_flat_values(self.of(points.flat_values))
        return tf.strings.reduce_join(rewritten, axis=-1)
