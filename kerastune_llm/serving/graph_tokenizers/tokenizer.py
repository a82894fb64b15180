"""A tokenizer of Hugging Face rebuilt in the graph."""

import json

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.added_tokens import ORDINARY, AddedTokens
from kerastune_llm.serving.graph_tokenizers.byte_pairs import BytePairs
from kerastune_llm.serving.graph_tokenizers.byte_words import ByteWords
from kerastune_llm.serving.graph_tokenizers.framing import Frame
from kerastune_llm.serving.graph_tokenizers.normalizers import Normalizer
from kerastune_llm.serving.graph_tokenizers.support import UnsupportedTokenizer
from kerastune_llm.serving.graph_tokenizers.unigram import Metaspace, Unigram
from kerastune_llm.serving.graph_tokenizers.wordpiece import BertWords, WordPiece


class GraphTokenizer(tf.Module):
    """Text to ids, equal to a fast tokenizer's with truncation.

    Args:
        tokenizer: What is rebuilt.
        max_tokens: Longest result, special tokens included.
        pair: Whether there are two texts.

    Raises:
        UnsupportedTokenizer: It is slow, or a part of it has no graph form.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, pair: bool = False
    ) -> None:
        super().__init__()
        if not tokenizer.is_fast:
            raise UnsupportedTokenizer("the tokenizer has no tokenizer.json")
        spec = json.loads(tokenizer.backend_tokenizer.to_str())
        kind = spec["model"]["type"]
        if kind == "Unigram":
            self._normalize = Normalizer(spec["normalizer"])
            self._words = Metaspace(spec["pre_tokenizer"])
            self._ids = Unigram(spec["model"])
        elif kind == "WordPiece":
            self._normalize = Normalizer(None)
            self._words = BertWords(tokenizer.backend_tokenizer, spec)
            self._ids = WordPiece(spec["model"])
        elif kind == "BPE":
            self._normalize = Normalizer(spec["normalizer"])
            self._words = ByteWords(spec["pre_tokenizer"])
            self._ids = BytePairs(spec["model"])
        else:
            raise UnsupportedTokenizer(f"the tokenizer is a {kind} model")
        self._added = AddedTokens(spec["added_tokens"])
        self._frame = Frame(tokenizer, pair=pair, max_tokens=max_tokens)

    def __call__(
        self, texts: tf.Tensor, seconds: tf.Tensor | None = None
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Ids and token types.

        Args:
            texts: UTF-8, string `[n]`.
            seconds: The second text of each pair, string `[n]`.

        Returns:
            int32 `[n, (ids)]` both.
        """
        second = None if seconds is None else self._tokens(seconds)
        return self._frame(self._tokens(texts), second)

    def _tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        parts, added = self._added(texts)
        known = added.flat_values
        ordinary = tf.where(known == ORDINARY, parts.flat_values, "")
        is_first = tf.scatter_nd(
            tf.boolean_mask(parts.row_starts(), parts.row_lengths() > 0)[:, tf.newaxis],
            tf.fill([tf.math.count_nonzero(parts.row_lengths() > 0)], True),
            [tf.size(known, tf.int64)],
        )
        words = self._words(self._normalize(ordinary), is_first)
        column = known[:, tf.newaxis]
        found = tf.ragged.boolean_mask(column, column != ORDINARY)
        ids = tf.concat([self._ids(words), found], 1)
        return parts.with_flat_values(ids).merge_dims(1, 2)
