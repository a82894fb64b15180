"""Ids from the graph against Hugging Face's tokenizers, which are the reference."""

import json
import shutil
from itertools import islice
from pathlib import Path

import pytest
import transformers

from kerastune_llm.backend import tf
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.serving.graph_tokenizers.detokenizer import Detokenizer
from kerastune_llm.serving.graph_tokenizers.support import UnsupportedTokenizer
from kerastune_llm.serving.graph_tokenizers.tokenizer import GraphTokenizer
from kerastune_llm.serving.nasty_texts import NASTY_TEXTS
from tests.tiny_tokenizers import fast_tokenizer, slow_tokenizer

SHARED = Path(__file__).parents[3] / "../shared"
LIMIT = 64
WORDS = ["bark", "dog", "##s", "##ing", "a", "##b", "!", "'", "中", "e", "x", "##x"]
# The bundled starter's pieces in the other unigram tokenizers' forms.
UNIGRAM = ("T5", "Albert", "XLMRoberta", "Pegasus")


def unigram(family: str):
    file = resolve_source("starter") / "spiece.model"
    return getattr(transformers, f"{family}TokenizerFast")(vocab_file=str(file))


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    file = tmp_path_factory.mktemp("bert") / "vocab.txt"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    file.write_text("\n".join([*special, *WORDS]), encoding="utf-8")
    return transformers.BertTokenizerFast(vocab_file=str(file))


def ids_and_types(tokenizer, texts, seconds=None, *, limit=LIMIT):
    graph = GraphTokenizer(tokenizer, max_tokens=limit, pair=seconds is not None)
    compiled = tf.function(graph.__call__)
    arguments = [tf.constant(column) for column in (texts, seconds) if column]
    return [ragged.to_list() for ragged in compiled(*arguments)]


def reference(tokenizer, texts, seconds=None, *, limit=LIMIT):
    encoded = tokenizer(
        texts, seconds, truncation=True, max_length=limit, return_token_type_ids=True
    )
    return [encoded["input_ids"], encoded["token_type_ids"]]


@pytest.mark.parametrize("family", UNIGRAM)
def test_unigram_on_nasty_texts(family):
    tokenizer, texts = unigram(family), list(NASTY_TEXTS)
    assert ids_and_types(tokenizer, texts) == reference(tokenizer, texts)


def test_wordpiece_on_nasty_texts(wordpiece):
    texts = [*NASTY_TEXTS, "Dogs barking!", "dog's éx", "xx中bark"]
    assert ids_and_types(wordpiece, texts) == reference(wordpiece, texts)


@pytest.mark.parametrize("limit", [8, 9, 16])
def test_pairs_are_cut_as_tokenizers_cuts_them(limit):
    tokenizer = unigram("XLMRoberta")
    lengths = range(0, 13)
    pairs = [("a " * n, "b " * m) for n in lengths for m in lengths]
    first, second = map(list, zip(*pairs, strict=True))
    expected = reference(tokenizer, first, second, limit=limit)
    assert ids_and_types(tokenizer, first, second, limit=limit) == expected


def test_pairs_have_token_types(wordpiece):
    texts, seconds = ["dog", "", "dog " * 50], ["bark!", "a", "bark " * 3]
    ids, types = ids_and_types(wordpiece, texts, seconds)
    assert [ids, types] == reference(wordpiece, texts, seconds)
    assert types[0] == [0, 0, 0, 1, 1, 1]


def test_tokenizer_json_alone_is_enough(tmp_path):
    source = resolve_source("starter")
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(source / name, tmp_path)
    tokenizer, texts = load_tokenizer(tmp_path), list(NASTY_TEXTS)
    whole = load_tokenizer(source)
    assert ids_and_types(tokenizer, texts) == reference(whole, texts)


def test_invalid_utf8_becomes_the_replacement_character():
    tokenizer = unigram("T5")
    ids, _ = ids_and_types(tokenizer, [b"a\xffb\xc3"])
    assert ids == reference(tokenizer, ["a\ufffdb\ufffd"])[0]


def test_detokenizer_equals_decode():
    tokenizer = unigram("T5")
    texts = [*NASTY_TEXTS[:-2], "Who , me ? do n't !", "it 's a  b"]
    ids = tokenizer(texts, padding=True, return_tensors="np")["input_ids"].astype(
        "int32"
    )
    expected = tokenizer.batch_decode(ids, skip_special_tokens=True)
    decoded = [
        text.decode() for text in Detokenizer(tokenizer)(tf.constant(ids)).numpy()
    ]
    assert decoded == [text.strip() for text in expected]
    # Models have more rows than the tokenizer has pieces.
    beyond = Detokenizer(tokenizer)(tf.constant([[len(tokenizer), -1]])).numpy()
    assert beyond[0] == b""


def test_what_has_no_graph_form_is_refused_by_name(tmp_path):
    with pytest.raises(UnsupportedTokenizer, match="no tokenizer.json"):
        GraphTokenizer(slow_tokenizer(tmp_path), max_tokens=8)
    with pytest.raises(UnsupportedTokenizer, match="a WordLevel model"):
        GraphTokenizer(fast_tokenizer(), max_tokens=8)
    with pytest.raises(UnsupportedTokenizer, match="decoder none"):
        Detokenizer(fast_tokenizer())


def squad_texts(count: int) -> list[str]:
    file = SHARED / "data/squad/dev-v1.1.json"
    if not file.is_file():
        pytest.skip("the real data are not beside the repository")
    paragraphs = (
        paragraph
        for article in json.loads(file.read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
    )
    texts = (
        f"question: {question['question']} context: {paragraph['context']}"
        for paragraph in paragraphs
        for question in paragraph["qas"]
    )
    return list(islice(texts, 0, 5 * count, 5))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["t5-tokenizer", "bert-base-uncased-tokenizer"])
def test_real_tokenizers_on_2000_squad_questions(name):
    texts = [*squad_texts(2000), *NASTY_TEXTS]
    tokenizer = load_tokenizer(SHARED / "tokenizers" / name)
    found, _ = ids_and_types(tokenizer, texts, limit=512)
    assert found == tokenizer(texts, truncation=True, max_length=512)["input_ids"]
