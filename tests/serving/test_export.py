"""Exported models: their files, their signatures, and what is refused."""

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import tensorflow_text  # noqa: F401, the operations of the tokenizers
from transformers import BertTokenizerFast

from kerastune_llm.backend import tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.serving.export import export_savedmodel
from kerastune_llm.serving.graph import Service
from kerastune_llm.serving.parity import Examples
from kerastune_llm.tasks.task import get_task
from tests.byte_level import byte_level, train_byte_level
from tests.tiny_models import spread, tiny
from tests.tiny_tokenizers import fast_tokenizer

FILES = {
    "README.md",
    "SHA256SUMS",
    "assets.extra/examples.json",
    "assets.extra/tf_serving_warmup_requests",
    "export.json",
    "fingerprint.pb",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}
SQUAD = Service(get_task("squad"), True, max_input_tokens=64, max_new_tokens=6)
FIELDS = {
    "question": ["Who lives in Oslo?", "", "a\x00b 中 e\u0301"],
    "context": ["Ana lives in Oslo.", "", "</s> tab\t" * 50],
}


def files_of(folder):
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def starter():
    return load_model("starter"), load_tokenizer("starter")


@pytest.fixture(scope="module")
def examples(starter) -> Examples:
    """The Python pipeline's own answers."""
    model, tokenizer = starter
    texts = [
        f"question: {question} context: {context}"
        for question, context in zip(*FIELDS.values(), strict=True)
    ]
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    generated = Generator(model, max_new_tokens=6, max_input_tokens=64, jit=False)(ids)
    answers = tokenizer.batch_decode(generated, skip_special_tokens=True)
    return Examples(FIELDS, ids, texts=[answer.strip() for answer in answers])


@pytest.fixture(scope="module")
def exported(starter, examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    parity = export_savedmodel(*starter, SQUAD, folder, name="qa", examples=examples)
    assert parity is not None and parity.differences == () and parity.rows == 3
    return folder


def test_layout(exported):
    assert files_of(exported / "qa/1") == FILES
    assert {path.name for path in exported.iterdir()} == {"qa", "models.config"}
    assert 'base_path: "/models/qa"' in (exported / "models.config").read_text()
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=exported / "qa/1",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.count(": OK") == len(FILES) - 1


def test_signatures(exported, examples):
    signatures = tf.saved_model.load(str(exported / "qa/1")).signatures
    facts = json.loads((exported / "qa/1/export.json").read_text())
    assert facts["signatures"]["serving_default"]["inputs"] == ["context", "question"]
    tokens = signatures["tokenize"](
        **{name: tf.constant(texts) for name, texts in FIELDS.items()}
    )
    from_ids = signatures["from_ids"](**tokens)
    for row, text in enumerate(examples.texts):
        one = {name: tf.constant([texts[row]]) for name, texts in FIELDS.items()}
        answer = signatures["serving_default"](**one)
        assert answer["answer"].numpy()[0].decode() == text
        assert from_ids["answer"].numpy()[row].decode() == text
        np.testing.assert_allclose(answer["score"], from_ids["score"][row], rtol=1e-4)


def test_score_is_the_geometric_mean_of_the_tokens_probabilities(
    exported, starter, examples
):
    model, _ = starter
    ids = tf.constant([examples.input_ids[0]])
    out = model.generate(
        ids, max_new_tokens=6, output_scores=True, return_dict_in_generate=True
    )
    probabilities = [
        float(tf.nn.softmax(scores[0])[token])
        for scores, token in zip(out.scores, out.sequences[0, 1:], strict=True)
    ]
    signatures = tf.saved_model.load(str(exported / "qa/1")).signatures
    found = signatures["from_ids"](input_ids=ids, attention_mask=tf.ones_like(ids))
    expected = np.exp(np.mean(np.log(probabilities)))
    np.testing.assert_allclose(found["score"].numpy()[0], expected, rtol=1e-4)


def test_a_version_is_not_written_twice(starter, examples, exported):
    with pytest.raises(UserError, match="Version 1 of qa exists already"):
        export_savedmodel(*starter, SQUAD, exported, name="qa", examples=examples)


def test_a_different_answer_refuses_the_export(starter, examples, tmp_path):
    wrong = replace(examples, texts=["something else", *examples.texts[1:]])
    with pytest.raises(UserError, match="1 of 3 texts differ(.|\n)*something else"):
        export_savedmodel(*starter, SQUAD, tmp_path / "m", name="qa", examples=wrong)
    assert list(tmp_path.iterdir()) == []


def pairs(tmp_path):
    file = tmp_path / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dogs", "bark", "##s", "."]
    file.write_text("\n".join(words))
    return BertTokenizerFast(vocab_file=str(file))


def test_pairs_of_texts_for_a_head(tmp_path):
    task = replace(get_task("mrpc"), labels=("no", "yes", "perhaps"))
    tokenizer, model = pairs(tmp_path), spread(tiny("bert"))
    first, second = task.fields(as_text=False)
    fields = {first: ["Dogs bark.", ""], second: ["bark", "dogs " * 99]}
    encoded = tokenizer(*fields.values(), truncation=True, max_length=16)
    padded = tokenizer.pad(encoded, return_tensors="tf")
    values = tf.nn.softmax(model(dict(padded)).logits).numpy()
    service = Service(task, False, max_input_tokens=16)
    examples = Examples(fields, encoded["input_ids"], values=values)
    folder = tmp_path / "models"
    export_savedmodel(
        model, tokenizer, service, folder, name="pairs", examples=examples
    )
    served = tf.saved_model.load(str(folder / "pairs/1"))
    outputs = served.signatures["serving_default"](
        **{name: tf.constant(texts) for name, texts in fields.items()}
    )
    index = values.argmax(axis=1)
    assert outputs["index"].numpy().tolist() == index.tolist()
    labels = [label.decode() for label in outputs["label"].numpy()]
    assert labels == [task.labels[number] for number in index]
    assert outputs["labels"].numpy().tolist() == [[b"no", b"yes", b"perhaps"]] * 2


def test_without_a_graph_form_the_model_takes_ids(tmp_path):
    """The tokenizer is then beside it, and the card says why."""
    tokenizer, model = fast_tokenizer(with_types=False), spread(tiny("distilbert"))
    task = replace(get_task("cola"), labels=("a", "b", "c"))
    ids = tokenizer(["dogs bark"])["input_ids"]
    expected = tf.nn.softmax(model(tf.constant(ids)).logits).numpy()
    examples = Examples({"sentence": ["dogs bark"]}, ids, values=expected)
    service = Service(task, False, max_input_tokens=16)
    wrong = replace(examples, values=expected + 0.1)
    with pytest.raises(UserError, match="1 of 1 texts differ"):
        export_savedmodel(model, tokenizer, service, tmp_path, name="m", examples=wrong)
    export_savedmodel(model, tokenizer, service, tmp_path, name="m", examples=examples)
    signatures = tf.saved_model.load(str(tmp_path / "m/1")).signatures
    ids = tf.constant(ids)
    found = signatures["serving_default"](input_ids=ids, attention_mask=ids // ids)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert load_tokenizer(tmp_path / "m/1/assets.extra/tokenizer").vocab_size
    assert (
        "the tokenizer is a WordLevel model" in (tmp_path / "m/1/README.md").read_text()
    )


def test_a_name_that_is_no_plain_word_is_refused(starter, examples, tmp_path):
    with pytest.raises(UserError, match="plain name"):
        export_savedmodel(*starter, SQUAD, tmp_path, name="a/b", examples=examples)


def test_a_model_of_bytes_takes_and_gives_text(tmp_path):
    """BART: byte-level BPE, and a forced last token, for any batch."""
    tokenizer = byte_level(train_byte_level(tmp_path), "Bart")
    model = spread(tiny("bart", vocab_size=len(tokenizer)), 0.7)
    texts = ["question: é 中 context: don't", "question:  context: \x00 <mask> 😀"]
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    generated = Generator(model, max_new_tokens=6, max_input_tokens=64, jit=False)(ids)
    answers = tokenizer.batch_decode(generated, skip_special_tokens=True)
    fields = {"question": ["é 中", ""], "context": ["don't", "\x00 <mask> 😀"]}
    examples = Examples(fields, ids, texts=[answer.strip() for answer in answers])
    folder = tmp_path / "models"
    parity = export_savedmodel(
        model, tokenizer, SQUAD, folder, name="m", examples=examples
    )
    assert parity.rows == 2 and any(examples.texts)
    assert json.loads((folder / "m/1/export.json").read_text())["id_only"] == ""
