"""A server of the starter, text in and text out, and of a model that takes ids only."""

from dataclasses import replace

import pytest

from kerastune_llm.backend import tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.tokenizer import load_tokenizer
from kerastune_llm.serving.export import export_savedmodel
from kerastune_llm.serving.graph import Service
from kerastune_llm.serving.parity import Examples
from kerastune_llm.serving.saved_models import load_folder
from kerastune_llm.tasks.task import get_task
from tests.tiny_models import spread, tiny
from tests.tiny_tokenizers import fast_tokenizer

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

from tests.serving.running import running  # noqa: E402

pytestmark = pytest.mark.slow

FIELDS = {
    "question": ["Who lives in Oslo?", "", "Where is Bo? 中"],
    "context": ["Ana lives in Oslo.", "", "Bo is in Rome. " * 20],
}
QA = "/v1/models/qa"


@pytest.fixture(scope="module")
def answers():
    return []


@pytest.fixture(scope="module")
def client(tmp_path_factory, answers):
    folder = tmp_path_factory.mktemp("served")
    answers += export_questions(folder)
    with running(load_folder(folder)) as client:
        yield client


def export_questions(folder):
    """Export the starter; gives the answers of the Python pipeline."""
    model, tokenizer = load_model("starter"), load_tokenizer("starter")
    texts = [
        f"question: {question} context: {context}"
        for question, context in zip(*FIELDS.values(), strict=True)
    ]
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    generator = Generator(model, max_new_tokens=6, max_input_tokens=64, jit=False)
    decoded = tokenizer.batch_decode(generator(ids), skip_special_tokens=True)
    answers = [text.strip() for text in decoded]
    service = Service(get_task("squad"), True, max_input_tokens=64, max_new_tokens=6)
    examples = Examples(FIELDS, ids, texts=answers)
    export_savedmodel(model, tokenizer, service, folder, name="qa", examples=examples)
    return answers


def test_text_answers_are_those_of_the_python_pipeline(client, answers):
    columns = zip(*FIELDS.values(), strict=True)
    rows = [dict(zip(FIELDS, row, strict=True)) for row in columns]
    by_row = client.post(f"{QA}:predict", json={"instances": rows})
    assert by_row.status_code == 200
    rows = by_row.json()["predictions"]
    assert [row["answer"] for row in rows] == answers
    assert all(0 < row["score"] <= 1 for row in rows)
    by_column = client.post(f"{QA}/versions/1:predict", json={"inputs": FIELDS})
    assert by_column.json()["outputs"]["answer"] == answers


def test_it_does_not_classify(client):
    refused = client.post(f"{QA}:classify", json={"examples": [{}]})
    assert refused.status_code == 400
    assert refused.json() == {"error": "qa does not classify; ask it by :predict"}


def test_a_model_that_takes_ids_only(tmp_path):
    tokenizer, model = fast_tokenizer(with_types=False), spread(tiny("distilbert"))
    task = replace(get_task("cola"), labels=("a", "b", "c"))
    ids = tokenizer(["dogs bark"])["input_ids"]
    examples = Examples({"sentence": ["dogs bark"]}, ids)
    service = Service(task, False, max_input_tokens=16)
    export_savedmodel(model, tokenizer, service, tmp_path, name="m", examples=examples)
    expected = tf.nn.softmax(model(tf.constant(ids)).logits).numpy()[0]
    row = {"input_ids": ids[0], "attention_mask": [1] * len(ids[0])}
    with running(load_folder(tmp_path)) as client:
        found = client.post("/v1/models/m:predict", json={"instances": [row]})
    probabilities = found.json()["predictions"][0]["probabilities"]
    assert probabilities == pytest.approx(expected.tolist(), abs=1e-5)
