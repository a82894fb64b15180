"""Byte-level BPE in the graph against Hugging Face's tokenizers, the reference."""

import json
import random

import pytest
from tokenizers import pre_tokenizers

from kerastune_llm.backend import tf
from kerastune_llm.serving.graph_tokenizers.byte_pairs import BytePairs
from kerastune_llm.serving.graph_tokenizers.byte_words import ByteWords
from kerastune_llm.serving.graph_tokenizers.detokenizer import Detokenizer
from kerastune_llm.serving.graph_tokenizers.support import UnsupportedTokenizer
from kerastune_llm.serving.nasty_texts import NASTY_TEXTS
from tests.byte_level import FAMILIES, byte_level, train_byte_level
from tests.serving.graph_tokenizers.test_graph_tokenizer import (
    ids_and_types,
    reference,
    squad_texts,
)

LIMIT = 200_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return train_byte_level(tmp_path_factory.mktemp("bpe"))


@pytest.mark.parametrize(
    ("family", "adds_space"), [*((name, False) for name in FAMILIES), ("Roberta", True)]
)
def test_nasty_texts(family, adds_space, files):
    tokenizer = byte_level(files, family, add_prefix_space=adds_space)
    texts = [*NASTY_TEXTS, "a<mask> b <mask>", "<s>x</s></s> y", "[SEP]a [MASK]b"]
    found = ids_and_types(tokenizer, texts, limit=LIMIT)
    assert found == reference(tokenizer, texts, limit=LIMIT)


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs(family, files):
    tokenizer = byte_level(files, family)
    texts, seconds = ["a dog", "", "dog " * 50], ["bark!", "'s", "barks " * 30]
    found = ids_and_types(tokenizer, texts, seconds, limit=32)
    assert found == reference(tokenizer, texts, seconds, limit=32)


def test_words_begin_where_the_pattern_has_them_begin():
    """All texts of four characters of every kind, and random longer ones."""
    byte_words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spec = json.loads(byte_words.__getstate__())
    few = ["'", "s", "r", "e", "l", " ", "\t", "\u3000", "1", "!", "中", "\u0301"]
    draw = random.Random(0)
    texts = [a + b + c + d for a in few for b in few for c in few for d in few]
    some = [*few, *"tmdvR7½😀\n\x85\xa0\x00\u200b"]
    texts += ["".join(draw.choices(some, k=draw.randrange(40))) for _ in range(2000)]
    found = tf.function(ByteWords(spec).__call__)(tf.constant(texts), None).to_list()
    for text, words in zip(texts, found, strict=True):
        ends = [end for _, (_, end) in byte_words.pre_tokenize_str(text)]
        starts = [0, *ends[:-1]]
        expected = [text[a:b] for a, b in zip(starts, ends, strict=False)]
        assert [word.decode() for word in words] == expected, repr(text)


def test_long_words_are_merged_as_short_ones_are(files):
    tokenizer, draw = byte_level(files, "Roberta"), random.Random(0)
    pieces = ["the", "tion", "aaaa", "ab", "中文", "q", "e", "in", "elf", "self"]
    lengths = [1, 2, 3, 10, 50, 200, 1000]
    texts = ["".join(draw.choices(pieces, k=length)) for length in lengths * 5]
    texts += ["".join(draw.choices("etaoinsh", k=20_000)), "ab" * 9_999 + "a"]
    assert ids_and_types(tokenizer, texts, limit=LIMIT)[0] == tokenizer(texts).input_ids


def test_any_ids_become_the_text_that_decode_gives(files):
    """Most of them are no UTF-8: what decode makes of that is the reference."""
    tokenizer, draw = byte_level(files, "Bart"), random.Random(0)
    texts = [text for text in NASTY_TEXTS if len(text) < 1000]
    rows = tokenizer(texts).input_ids
    rows += [draw.choices(range(len(tokenizer)), k=24) for _ in range(300)]
    # Among the first ids are the single bytes.
    rows += [draw.choices(range(100, 260), k=24) for _ in range(1500)]
    padded = tf.ragged.constant(rows).to_tensor(tokenizer.pad_token_id)
    found = [text.decode() for text in Detokenizer(tokenizer)(padded).numpy()]
    expected = tokenizer.batch_decode(rows, skip_special_tokens=True)
    assert found == [text.strip() for text in expected]


def spec_of(files) -> dict:
    return json.loads(byte_level(files, "Roberta").backend_tokenizer.to_str())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ignore_merges": True}, "ignore_merges True"),
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix '</w>'"),
        ({"vocab": {"a": 0}}, "without all 256 bytes"),
        ({"merges": [["ab", "c"], ["a", "b"]]}, "merges that are not in order"),
    ],
)
def test_bpe_that_merges_in_another_way_is_refused(change, message, files):
    with pytest.raises(UnsupportedTokenizer, match=message):
        BytePairs(spec_of(files)["model"] | change)


def test_other_words_are_refused(files):
    spec = spec_of(files)["pre_tokenizer"]
    with pytest.raises(UnsupportedTokenizer, match="ByteLevel without its pattern"):
        ByteWords(spec | {"use_regex": False})
    with pytest.raises(UnsupportedTokenizer, match="pre-tokenizer none"):
        ByteWords(None)


@pytest.mark.real_data
def test_2000_squad_questions(files):
    texts = squad_texts(2000)
    tokenizer = byte_level(files, "Bart")
    found, _ = ids_and_types(tokenizer, texts, limit=512)
    assert found == tokenizer(texts, truncation=True, max_length=512).input_ids
