"""Configurations: what is refused, which class is asked for, T5 of version 5."""

import json

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.model_config import (
    class_for,
    kind_of,
    load_config,
    set_labels,
    supports_head,
)


def test_no_configuration(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no config.json") as error:
        load_config(tmp_path)
    assert "model.safetensors" in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\udcff"])
def test_an_unreadable_configuration(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="not the configuration of a model"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("llama", "no TensorFlow class for this architecture"),
        ("distilbret", "Did you mean distilbert"),
        (7, "no TensorFlow class for this architecture"),
    ],
)
def test_an_architecture_without_a_class(tmp_path, model_type, message):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(UserError, match=message) as error:
        load_config(tmp_path)
    assert "t5" in str(error.value)


def test_code_of_the_checkpoint_is_not_run(write_config, tmp_path):
    folder = write_config("bert", auto_map={"AutoConfig": "mine.MyConfig"})
    ran = tmp_path / "ran"
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()")
    assert load_config(folder).model_type == "bert"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("t5", {}, "seq2seq"),
        ("bert", {}, "classification"),
        ("bert", {"problem_type": "regression"}, "regression"),
        ("bert", {"problem_type": "multi_label_classification"}, "multilabel"),
        ("bart", {}, "seq2seq"),
        (
            "bart",
            {"architectures": ["BartForSequenceClassification"]},
            "classification",
        ),
        ("encoder-decoder", {}, "seq2seq"),
    ],
)
def test_the_kind_is_what_the_checkpoint_was_saved_as(
    write_config, name, changes, kind
):
    assert kind_of(load_config(write_config(name, **changes))) == kind


def test_a_head_exists_for_bert_and_bart_not_for_t5(write_config):
    heads = {name: supports_head(load_config(write_config(name))) for name in HEADS}
    assert heads == HEADS


HEADS = {"t5": False, "mt5": False, "marian": False, "bart": True, "bert": True}


def test_bert_does_not_write_text(write_config):
    with pytest.raises(UserError, match="does not write any") as error:
        load_model(write_config("bert"), kind="seq2seq")
    assert "google/flan-t5-small" in str(error.value)


def test_t5_has_no_head(write_config):
    with pytest.raises(UserError, match="no classification head") as error:
        load_model(write_config("t5"), kind="classification")
    assert "--task.form text" in str(error.value)


def test_an_unknown_kind(write_config):
    with pytest.raises(UserError, match="Unknown kind of model"):
        class_for(load_config(write_config("bert")), "tagging")


@pytest.mark.parametrize(
    ("kind", "labels", "problem_type", "count"),
    [
        ("classification", ["a", "b", "c"], "single_label_classification", 3),
        ("classification", (), "single_label_classification", 2),
        ("multilabel", ["a"], "multi_label_classification", 1),
        ("regression", None, "regression", 1),
        ("seq2seq", ["a", "b", "c"], None, 2),
    ],
)
def test_labels_and_problem_type(write_config, kind, labels, problem_type, count):
    config = load_config(write_config("bert"))
    set_labels(config, kind, labels)
    assert (config.problem_type, config.num_labels) == (problem_type, count)


@pytest.mark.parametrize("labels", [["a"], ["a", "a"]])
def test_labels_that_do_not_tell_apart(write_config, labels):
    with pytest.raises(UserError, match="must be different names"):
        set_labels(load_config(write_config("bert")), "classification", labels)


@pytest.mark.parametrize(
    ("name", "written", "tied"),
    [
        # As transformers 5 writes t5-small, flan-t5 and mt5; the last two as 4 does.
        ("t5", {"tie_word_embeddings": True, "scale_decoder_outputs": True}, True),
        ("t5", {"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        ("mt5", {"tie_word_embeddings": True, "transformers_version": "5.0.0"}, False),
        ("t5", {"tie_word_embeddings": False}, False),
        ("t5", {}, True),
    ],
)
def test_t5_of_version_5_keeps_its_output_layer(write_config, name, written, tied):
    assert load_config(write_config(name, **written)).tie_word_embeddings is tied
