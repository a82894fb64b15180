"""Tokens that are found in a text before anything else: `</s>`, `[MASK]`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.normalizers import WHITE_SPACE
from kerastune_llm.serving.graph_tokenizers.support import unsupported

ORDINARY = -1
# A byte that is in no UTF-8 text. TensorFlow Text's own `regex_split` ends at a zero.
_BORDER = b"\xff"


class AddedTokens(tf.Module):
    """Parts texts at their added tokens.

    Args:
        specs: The `added_tokens` of tokenizer.json.

    Raises:
        UnsupportedTokenizer: One is found only as a whole word.
    """

    def __init__(self, specs: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        for spec in specs:
            if spec["single_word"]:
                raise unsupported("added token", spec["content"])
        longest_first = sorted(specs, key=lambda spec: -len(spec["content"]))
        self._pattern = f"({'|'.join(map(_pattern, longest_first))})" if specs else None
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([spec["content"] for spec in specs], tf.string),
                tf.constant([spec["id"] for spec in specs], tf.int32),
            ),
            ORDINARY,
        )

    def __call__(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """The parts of texts and their ids, -1 for ordinary text.

        Args:
            texts: UTF-8, string `[n]`; what is not becomes U+FFFD.

        Returns:
            string and int32 `[n, (parts)]`.
        """
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        if self._pattern is not None:
            border = _BORDER + rb"\1" + _BORDER
            texts = tf.strings.regex_replace(texts, self._pattern, border)
        parts = tf.strings.split(texts, _BORDER)
        parts = tf.ragged.boolean_mask(parts, parts != "")
        bare = tf.strings.regex_replace(
            parts.flat_values, f"^{WHITE_SPACE}+|{WHITE_SPACE}+$", ""
        )
        return parts, parts.with_flat_values(self._ids.lookup(bare))


def _pattern(spec: Mapping[str, Any]) -> str:
    left = f"{WHITE_SPACE}*" * spec["lstrip"]
    right = f"{WHITE_SPACE}*" * spec["rstrip"]
    return left + re.escape(spec["content"]) + right
