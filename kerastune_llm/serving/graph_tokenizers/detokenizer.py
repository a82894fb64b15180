"""Ids back to text, for tokenizers of SentencePiece's form and of bytes."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.byte_pairs import token_bytes
from kerastune_llm.serving.graph_tokenizers.support import (
    UnsupportedTokenizer,
    unsupported,
)

# What `str.strip` takes off.
_SPACE = r"[\t-\r\x1c-\x1f\x{85}\p{Z}]"
# `clean_up_tokenization` of transformers, in its order.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Detokenizer(tf.Module):
    """Ids to text without special tokens, stripped of white space at both ends.

    Args:
        tokenizer: A fast tokenizer whose pieces have marks for spaces, or are bytes.

    Raises:
        UnsupportedTokenizer: It decodes in another way.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        if not tokenizer.is_fast:
            raise UnsupportedTokenizer("the tokenizer has no tokenizer.json")
        spec = json.loads(tokenizer.backend_tokenizer.to_str())
        piece_bytes = _decoder(spec["decoder"])
        special = set(tokenizer.all_special_ids)
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._pieces = tf.constant(
            [
                b"" if index in special else piece_bytes(piece)
                for index, piece in enumerate(pieces)
            ]
        )
        self._cleans_up = bool(tokenizer.clean_up_tokenization_spaces)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Texts, string `[n]`, of ids `[n, length]`; ids of no piece are skipped."""
        known = (ids >= 0) & (ids < tf.size(self._pieces))
        pieces = tf.gather(self._pieces, tf.where(known, ids, 0))
        texts = tf.strings.reduce_join(tf.where(known, pieces, ""), axis=-1)
        # What bytes do not make a character becomes U+FFFD.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        if self._cleans_up:
            for old, new in _CLEAN_UP:
                texts = tf.strings.regex_replace(texts, re.escape(old), new)
        return tf.strings.regex_replace(texts, f"^{_SPACE}+|{_SPACE}+$", "")


def _decoder(spec: Mapping[str, Any] | None) -> Callable[[str], bytes]:
    """What a piece stands for, as the `decoder` of tokenizer.json has it."""
    parts = spec.get("decoders", [spec]) if spec else []
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"]:
        return token_bytes
    if kinds != ["Metaspace"]:
        raise unsupported("decoder", ", ".join(kinds) or "none")
    return lambda piece: piece.replace(parts[0]["replacement"], " ").encode()
