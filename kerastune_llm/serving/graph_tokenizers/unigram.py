"""SentencePiece's unigram model, rebuilt from tokenizer.json, in the graph.

T5, mT5, Pegasus, ALBERT, XLM-R. Each word is looked at by itself, as `tokenizers` does
it; SentencePiece alone would look at the whole text and sum up its scores in float32,
less exactly the longer it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from kerastune_llm.serving.graph_tokenizers.normalizers import WHITE_SPACE
from kerastune_llm.serving.graph_tokenizers.support import unsupported
from kerastune_llm.serving.text_ops import tf, tf_text

_PIECE = sentencepiece_model_pb2.ModelProto.SentencePiece


class Metaspace(tf.Module):
    """Texts to words that begin with the mark of a space.

    Args:
        spec: The `pre_tokenizer` of tokenizer.json: Metaspace, alone or after a split
            at white space.

    Raises:
        UnsupportedTokenizer: It is another one.
    """

    def __init__(self, spec: Mapping[str, Any] | None) -> None:
        super().__init__()
        parts = [spec] if spec and spec["type"] != "Sequence" else None
        parts = parts or (spec["pretokenizers"] if spec else [])
        kinds = [part["type"] for part in parts]
        if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
            raise unsupported("pre-tokenizer", ", ".join(kinds) or "none")
        metaspace = parts[-1]
        if not metaspace.get("split", True):
            raise unsupported("pre-tokenizer", "Metaspace that does not split")
        self._splits_at_space = len(parts) == 2
        self._mark = metaspace["replacement"]
        self._scheme = metaspace["prepend_scheme"]

    def __call__(self, texts: tf.Tensor, is_first: tf.Tensor) -> tf.RaggedTensor:
        """Words of each text, string `[n, (words)]`.

        Args:
            texts: Normalized texts, string `[n]`.
            is_first: Whether each begins a whole input, bool `[n]`.
        """
        if not self._splits_at_space:
            return self._words(texts, is_first)
        spaced = tf.strings.regex_replace(texts, f"{WHITE_SPACE}+", " ")
        chunks = tf.strings.split(spaced)
        starts = chunks.row_starts()
        begins = tf.fill([tf.size(chunks.flat_values)], False)
        rows = tf.boolean_mask(starts, chunks.row_lengths() > 0)
        firsts = tf.boolean_mask(is_first, chunks.row_lengths() > 0)
        begins = tf.tensor_scatter_nd_update(begins, rows[:, tf.newaxis], firsts)
        words = chunks.with_flat_values(self._words(chunks.flat_values, begins))
        return words.merge_dims(1, 2)

    def _words(self, texts: tf.Tensor, is_first: tf.Tensor) -> tf.RaggedTensor:
        texts = tf.strings.regex_replace(texts, " ", self._mark)
        if self._scheme != "never":
            wanted = (texts != "") & (is_first | (self._scheme == "always"))
            marked = tf.strings.substr(texts, 0, len(self._mark.encode())) == self._mark
            lacks = wanted & ~marked
            texts = tf.where(lacks, tf.strings.join([self._mark, texts]), texts)
        parts = tf.strings.split(texts, self._mark)
        opening = tf.scatter_nd(
            parts.row_starts()[:, tf.newaxis],
            tf.ones_like(parts.row_starts()),
            [tf.size(parts.flat_values, tf.int64)],
        )
        follows = opening == 0
        marked = tf.strings.join([self._mark, parts.flat_values])
        words = parts.with_flat_values(tf.where(follows, marked, parts.flat_values))
        return tf.ragged.boolean_mask(words, words != "")


class Unigram(tf.Module):
    """Words to ids by the most probable pieces.

    Args:
        spec: The `model` of tokenizer.json.

    Raises:
        UnsupportedTokenizer: It falls back to bytes.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        if spec.get("byte_fallback"):
            raise unsupported("model", "Unigram with a fall-back to bytes")
        model = sentencepiece_proto(spec["vocab"], unknown_id=spec["unk_id"])
        self._tokenizer = tf_text.SentencepieceTokenizer(model, out_type=tf.int32)

    def __call__(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids of each text, int32 `[n, (ids)]`."""
        ids = self._tokenizer.tokenize(words.flat_values)
        return words.with_flat_values(ids).merge_dims(1, 2)


def sentencepiece_proto(
    pieces: Sequence[tuple[str, float]], *, unknown_id: int
) -> bytes:
    """A SentencePiece model over pieces that are normalized already.

    Control symbols are common pieces in it: where one stands in a text, it was found
    before; and where normalizing makes one, `tokenizers` takes it for a piece.

    Args:
        pieces: Pieces and their log probabilities, in the order of their ids.
        unknown_id: Id of what no piece covers.
    """
    proto = sentencepiece_model_pb2.ModelProto()
    for index, (piece, score) in enumerate(pieces):
        kind = _PIECE.UNKNOWN if index == unknown_id else _PIECE.NORMAL
        proto.pieces.add(piece=piece, score=score, type=kind)
    trainer = proto.trainer_spec
    trainer.model_type = sentencepiece_model_pb2.TrainerSpec.UNIGRAM
    trainer.vocab_size = len(proto.pieces)
    trainer.unk_id = unknown_id
    trainer.unk_piece = pieces[unknown_id][0]
    normalizer = proto.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = False
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = False
    return proto.SerializeToString()
