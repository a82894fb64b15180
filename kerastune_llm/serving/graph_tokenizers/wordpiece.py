"""WordPiece in the graph: BERT, DistilBERT, ELECTRA, MPNet."""

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from kerastune_llm.serving.graph_tokenizers.characters import CharacterMap, observe
from kerastune_llm.serving.graph_tokenizers.support import unsupported
from kerastune_llm.serving.text_ops import tf, tf_text

_BYTES_PER_CHARACTER = 4


class BertWords(tf.Module):
    """Texts to words, normalized and parted as BERT does it.

    Normalizing, and parting at white space and punctuation, look at one character at a
    time: all of it is one map, and then a split at spaces.

    Args:
        backend: The tokenizer of `tokenizers`.
        spec: Its tokenizer.json.

    Raises:
        UnsupportedTokenizer: It normalizes or parts text in another way.
    """

    def __init__(self, backend: Tokenizer, spec: Mapping[str, Any]) -> None:
        super().__init__()
        for part, kind in (
            ("normalizer", "BertNormalizer"),
            ("pre_tokenizer", "BertPreTokenizer"),
        ):
            found = spec[part]["type"] if spec[part] else "none"
            if found != kind:
                raise unsupported(part.replace("_", "-"), found)

        def words(text: str) -> str:
            normal = backend.normalizer.normalize_str(text)
            parts = backend.pre_tokenizer.pre_tokenize_str(normal)
            return " ".join(word for word, _ in parts)

        self._characters = CharacterMap(observe(words))

    def __call__(self, texts: tf.Tensor, is_first: tf.Tensor) -> tf.RaggedTensor:
        """Words of each text, string `[n, (words)]`."""
        del is_first  # Words of BERT's do not depend on what stands before them.
        spaced = self._characters(texts)
        words = tf.strings.split(spaced, " ")
        return tf.ragged.boolean_mask(words, words != "")


class WordPiece(tf.Module):
    """Words to ids by the longest pieces.

    Args:
        spec: The `model` of tokenizer.json.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        vocabulary = sorted(spec["vocab"], key=spec["vocab"].get)
        if [spec["vocab"][piece] for piece in vocabulary] != list(
            range(len(vocabulary))
        ):
            raise unsupported("model", "WordPiece with gaps in its ids")
        self._longest = spec["max_input_chars_per_word"]
        self._unknown_id = spec["vocab"][spec["unk_token"]]
        self._tokenizer = tf_text.FastWordpieceTokenizer(
            vocabulary,
            suffix_indicator=spec["continuing_subword_prefix"],
            max_bytes_per_word=self._longest * _BYTES_PER_CHARACTER,
            token_out_type=tf.int32,
            unknown_token=spec["unk_token"],
            no_pretokenization=True,
        )

    def __call__(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids of each text, int32 `[n, (ids)]`."""
        flat = words.flat_values
        # A word of too many characters is unknown; the operation counts bytes.
        too_long = tf.strings.length(flat, unit="UTF8_CHAR") > self._longest
        ids = self._tokenizer.tokenize(tf.where(too_long, "", flat))
        unknown = tf.ragged.boolean_mask(
            tf.fill([tf.size(flat), 1], self._unknown_id), too_long[:, tf.newaxis]
        )
        return words.with_flat_values(tf.concat([ids, unknown], 1)).merge_dims(1, 2)
