"""Tokenizers: from few files, of version 5, with nothing that cuts in silence."""

import json
from pathlib import Path

import pytest
import sentencepiece
import tokenizers

from kerastune_llm.errors import UserError
from kerastune_llm.models.loading import load_tokenizer

WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n"
SHARED = Path(__file__).parents[2] / "../shared"


@pytest.fixture
def bert_folder(write_config):
    folder = write_config("bert")
    (folder / "vocab.txt").write_text(WORDS)
    return folder


@pytest.fixture
def spiece(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("hello world and all who live in it\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return tmp_path / "spiece.model"


def test_no_tokenizer_files(write_config):
    with pytest.raises(UserError, match="no tokenizer") as error:
        load_tokenizer(write_config("bert"))
    assert "vocab.txt" in str(error.value)
    assert "Received" in str(error.value)


def test_vocab_txt_alone_is_enough(bert_folder):
    tokenizer = load_tokenizer(bert_folder)
    assert tokenizer("Hello world there")["input_ids"] == [2, 5, 6, 1, 3]


def test_spiece_model_alone_is_enough(write_config, spiece):
    folder = write_config("t5")
    spiece.rename(folder / "spiece.model")
    tokenizer = load_tokenizer(folder)
    reference = sentencepiece.SentencePieceProcessor(str(folder / "spiece.model"))
    text = "hello all who live"
    assert tokenizer(text)["input_ids"] == [*reference.encode(text), 1]
    assert len(tokenizer) == reference.get_piece_size() + 100


def test_what_the_file_says_of_cutting_and_padding_is_switched_off(bert_folder):
    vocabulary = {word: index for index, word in enumerate(WORDS.split())}
    saved = tokenizers.BertWordPieceTokenizer(vocabulary)
    saved.enable_truncation(4)
    saved.enable_padding(length=6)
    saved.save(str(bert_folder / "tokenizer.json"))
    tokenizer = load_tokenizer(bert_folder)
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None
    assert len(tokenizer.backend_tokenizer.encode("hello " * 20).ids) == 22
    assert len(tokenizer.backend_tokenizer.encode("hello").ids) == 3


def test_a_tokenizer_of_a_class_that_only_version_5_has(bert_folder):
    vocabulary = {word: index for index, word in enumerate(WORDS.split())}
    saved = tokenizers.BertWordPieceTokenizer(vocabulary)
    saved.save(str(bert_folder / "tokenizer.json"))
    (bert_folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]"}'
    )
    tokenizer = load_tokenizer(bert_folder)
    assert tokenizer("hello world")["input_ids"] == [2, 5, 6, 3]
    assert tokenizer.pad_token_id == 0


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_general_tokenizer_gives_what_its_model_takes(name, write_config):
    vocabulary = {word: index for index, word in enumerate(WORDS.split())}
    for folder, takes_types in (
        (write_config("t5"), False),
        (write_config("bert"), True),
    ):
        saved = tokenizers.BertWordPieceTokenizer(vocabulary)
        saved.save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": name, "pad_token": "[PAD]"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        assert ("token_type_ids" in load_tokenizer(folder)("hello")) == takes_types


def test_special_tokens_as_version_5_lists_them(bert_folder):
    settings = {"extra_special_tokens": ["<one>"], "tokenizer_class": "BertTokenizer"}
    (bert_folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(bert_folder)
    assert tokenizer("hello <one>")["input_ids"] == [2, 5, 7, 3]


def test_the_end_of_text_pads_where_nothing_else_does(bert_folder):
    word_level = tokenizers.models.WordLevel({"a": 0, "<end>": 1}, unk_token="<end>")
    tokenizers.Tokenizer(word_level).save(str(bert_folder / "tokenizer.json"))
    (bert_folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}'
    )
    assert load_tokenizer(bert_folder).pad_token == "<end>"


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_files(bert_folder, file):
    (bert_folder / file).write_text('{"model": ')
    with pytest.raises(UserError, match="do not make a tokenizer") as error:
        load_tokenizer(bert_folder)
    assert str(bert_folder) in str(error.value)


@pytest.mark.real_data
def test_the_real_t5_tokenizer_from_spiece_alone(tmp_path):
    real = SHARED / "models" / "t5-mini"
    if not real.is_dir():
        pytest.skip("the real tokenizers are not beside the repository")
    for name in ("spiece.model", "config.json"):
        (tmp_path / name).write_bytes((real / name).read_bytes())
    text = "translate English to German: The house is wonderful. <extra_id_0>"
    whole = load_tokenizer(real)(text)["input_ids"]
    assert load_tokenizer(tmp_path)(text)["input_ids"] == whole
    assert whole[-2:] == [32099, 1]
