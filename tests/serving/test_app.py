"""A real server over a socket: answers, limits, keys, metrics."""

import socket
import threading

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="needs the extra: pip install '.[serve]'")
pytest.importorskip("prometheus_client", reason="needs pip install '.[serve]'")

from kerastune_llm.backend import tf  # noqa: E402
from kerastune_llm.serving.saved_models import load_folder  # noqa: E402
from kerastune_llm.serving.settings import Batching, Limits  # noqa: E402
from tests.serving.conftest import LABELS, PAIRS  # noqa: E402
from tests.serving.running import eventually, queued_rows, running  # noqa: E402

PAIR = "/v1/models/pairs"


def instances(fields):
    return [
        dict(zip(fields, row, strict=True))
        for row in zip(*fields.values(), strict=True)
    ]


@pytest.fixture(scope="module")
def models(pairs):
    return load_folder(pairs.folder)


@pytest.fixture(scope="module")
def client(models):
    with running(models, limits=Limits(max_body_bytes=100_000)) as client:
        yield client


def error_of(response, status):
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return response.json()["error"]


def test_probabilities_are_those_of_the_python_pipeline(client, pairs):
    answer = client.post(f"{PAIR}:predict", json={"inputs": PAIRS}).json()["outputs"]
    for row, expected in zip(answer["probabilities"], pairs.probabilities, strict=True):
        assert row == pytest.approx(expected, abs=1e-5)
    assert answer["labels"] == [list(LABELS)] * 3


def test_classify(client, pairs):
    asked = {"signature_name": "classify", "examples": instances(PAIRS)}
    found = client.post(f"{PAIR}:classify", json=asked)
    for row, expected in zip(found.json()["result"], pairs.probabilities, strict=True):
        assert [label for label, _ in row] == list(LABELS)
        assert [score for _, score in row] == pytest.approx(expected, abs=1e-5)
    asked["signature_name"] = "tokenize"
    refused = client.post(f"{PAIR}:classify", json=asked)
    assert error_of(refused, 400) == 'Signature name: "tokenize" does not classify'


def test_the_signature_for_tensorflow_servings_classify(models, pairs):
    """It takes what TensorFlow Serving makes of `examples`: serialized tf.Examples."""
    serialized = []
    for row in instances(PAIRS):
        example = tf.train.Example()
        for name, text in row.items():
            example.features.feature[name].bytes_list.value.append(text.encode())
        serialized.append(example.SerializeToString())
    classify = models[0].loaded.signatures["classify"]
    found = classify(inputs=tf.constant(serialized))
    assert set(found) == {"classes", "scores"}
    assert found["scores"].numpy() == pytest.approx(
        np.array(pairs.probabilities), abs=1e-5
    )
    labels = [label.encode() for label in LABELS]
    assert found["classes"].numpy().tolist() == [labels] * 3


def test_ids_by_another_signature(client, pairs):
    asked = {"signature_name": "tokenize", "inputs": PAIRS}
    features = client.post(f"{PAIR}:predict", json=asked).json()["outputs"]
    asked = {"signature_name": "from_ids", "inputs": features}
    answer = client.post(f"{PAIR}:predict", json=asked).json()["outputs"]
    expected = [max(row) for row in pairs.probabilities]
    assert answer["score"] == pytest.approx(expected, abs=1e-5)
    wild = dict.fromkeys(features, [0]) | {"input_ids": [10**9]}
    asked = {"signature_name": "from_ids", "instances": [wild]}
    assert "refuses" in error_of(client.post(f"{PAIR}:predict", json=asked), 400)


def test_status_and_metadata(client):
    status = client.get(PAIR).json()["model_version_status"]
    assert [entry["version"] for entry in status] == ["2", "1"]
    ok = {"error_code": "OK", "error_message": ""}
    one = {"version": "1", "state": "AVAILABLE", "status": ok}
    assert client.get(f"{PAIR}/versions/1").json() == {"model_version_status": [one]}
    described = client.get(f"{PAIR}/metadata").json()
    assert described["model_spec"]["version"] == "2"
    signatures = described["metadata"]["signature_def"]["signature_def"]
    others = {"from_ids", "tokenize", "classify"}
    assert set(signatures) == {"serving_default", *others}
    sentence = signatures["serving_default"]["inputs"]["sentence1"]
    assert sentence["dtype"] == "DT_STRING"
    assert sentence["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/absent", 404),
        ("GET", f"{PAIR}/versions/3", 404),
        ("GET", f"{PAIR}/versions/latest", 404),
        ("GET", f"{PAIR}/versions/{'9' * 5000}/metadata", 404),
        ("POST", "/v1/models/absent:predict", 404),
        ("POST", f"{PAIR}/versions/3:predict", 404),
        ("POST", f"{PAIR}:predict", 400),
        ("POST", f"{PAIR}:regress", 404),
        ("GET", f"{PAIR}:predict", 405),
        ("GET", f"{PAIR}/else", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", PAIR, 405),
    ],
)
def test_errors_have_one_form(client, method, path, status):
    error_of(client.request(method, path), status)


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"[" * 50_000, b'{"instances": [1]}', b'{"inputs": {"a": ["b"]}}'],
)
def test_a_wrong_body_is_refused_and_the_server_lives(client, body):
    error_of(client.post(f"{PAIR}:predict", content=body), 400)
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_long_body_is_refused(client):
    long = b"x" * 100_001
    assert "100000" in error_of(client.post(f"{PAIR}:predict", content=long), 413)
    pieces = (b"x" * 1000 for _ in range(200))
    error_of(client.post(f"{PAIR}:predict", content=pieces), 413)


def test_too_many_rows_are_refused(client):
    rows = [{"sentence1": "", "sentence2": ""}] * 2000
    refused = client.post(f"{PAIR}:predict", json={"instances": rows})
    assert "2000 rows; a request may have 1024" in error_of(refused, 413)


def test_clients_at_a_time_share_batches(models, pairs):
    """A batch waits a minute for its 12 rows: those of twelve requests."""
    answers = {}
    with running(models, Batching(max_batch=12, timeout_ms=60_000)) as client:

        def ask(number):
            row = instances(PAIRS)[number % 3]
            answer = client.post(f"{PAIR}:predict", json={"instances": [row]}).json()
            answers[number] = answer["predictions"][0]["probabilities"]

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = client.get("/metrics").text
    for number in range(12):
        expected = pairs.probabilities[number % 3]
        assert answers[number] == pytest.approx(expected, abs=1e-5)
    assert 'kerastune_batch_rows_count{model="pairs",version="2"} 1.0' in metrics
    assert 'kerastune_batch_rows_sum{model="pairs",version="2"} 12.0' in metrics


def test_a_full_queue_and_a_deadline(models):
    """Four rows wait for a batch that does not fill; the fifth has no room."""
    batching = Batching(max_batch=100, timeout_ms=60_000, max_queue=4)
    rows, found = instances(PAIRS)[:1], []
    with running(models, batching, Limits(deadline_seconds=2)) as client:

        def ask(count):
            body = {"instances": rows * count}
            return client.post(f"{PAIR}/versions/1:predict", json=body)

        thread = threading.Thread(target=lambda: found.append(ask(4)))
        thread.start()
        eventually(lambda: queued_rows(client, "pairs") == 4)
        refused = ask(1)
        assert "Too many requests wait" in error_of(refused, 503)
        assert refused.headers["retry-after"] == "1"
        thread.join()
        assert "deadline" in error_of(found[0], 504)
        # Those who gave up make room: this one waits, and is not sent away.
        error_of(ask(1), 504)


def test_a_body_that_does_not_come(models):
    head = b"POST /v1/models/pairs:predict HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Length: 100\r\n\r\nhalf"
    with running(models, limits=Limits(deadline_seconds=1)) as client:
        place = client.base_url.host, client.base_url.port
        with socket.create_connection(place, timeout=60) as slow:
            slow.sendall(head)
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        with socket.create_connection(place) as gone:
            gone.sendall(head)
        eventually(lambda: 'status="400"' in client.get("/metrics").text)
        assert 'status="500"' not in client.get("/metrics").text


def test_a_key_is_required(models):
    key = "k" * 32
    with running(models, keys=("other" * 8, key)) as client:
        assert error_of(client.get(PAIR), 401) == "An API key is required"
        for wrong in ({"X-API-Key": "k" * 31}, {"Authorization": f"Basic {key}"}):
            error_of(client.get("/metrics", headers=wrong), 401)
        for right in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            assert client.get(PAIR, headers=right).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_metrics_name_routes_and_never_paths(client):
    client.get("/v1/models/made-up-by-a-client")
    client.get("/made/up/too")
    metrics = client.get("/metrics").text
    assert "made" not in metrics
    assert 'route="/v1/models/{name}",status="404"' in metrics
    assert 'method="any",route="none",status="404"' in metrics


def test_openapi_describes_the_paths(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert "post" in paths["/v1/models/{name}:predict"]
    assert "post" in paths["/v1/models/{name}/versions/{version}:classify"]
