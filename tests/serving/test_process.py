"""`kerastune serve` as a process: its log, TLS and keys, SIGTERM."""

import contextlib
import json
import shutil
import signal
import ssl
import subprocess
import threading

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

import httpx  # noqa: E402

from tests.serving.running import (  # noqa: E402
    eventually,
    queued_rows,
    serving_process,
    until_ready,
)

KEY = "k" * 32
ROW = {"sentence1": "dogs bark", "sentence2": "bark"}


def test_sigterm_answers_what_was_accepted(pairs, tmp_path):
    flags = ("--batch-timeout-ms", "5000", "--max-batch", "1000")
    statuses = []
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(
            serving_process(pairs.folder, tmp_path / "log", *flags)
        )
        address = served.address()
        assert address.startswith("http://127.0.0.1:")
        client = stack.enter_context(
            httpx.Client(base_url=address, timeout=60, trust_env=False)
        )

        def ask():
            body = {"instances": [ROW]}
            answer = client.post("/v1/models/pairs/versions/1:predict", json=body)
            statuses.append(answer.status_code)

        until_ready(client)
        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        eventually(lambda: queued_rows(client, "pairs") == 16)
        code = served.stop(signal.SIGTERM)
        for thread in threads:
            thread.join()
        said = served.log.read_text()
    assert statuses == [200] * 16
    assert code == 0, said
    lines = [json.loads(line) for line in said.split("\n") if line.startswith("{")]
    predicted = [line for line in lines if line["path"].endswith(":predict")]
    assert [(line["status"], line["rows"]) for line in predicted] == [(200, 1)] * 16
    assert predicted[0]["client"] == "127.0.0.1" and predicted[0]["seconds"] > 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_tls_and_keys_from_files(pairs, tmp_path):
    certificate, key, keys = (tmp_path / name for name in ("cert", "key", "keys"))
    keys.write_text(KEY + "\n")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}".split(),
        check=True,
        capture_output=True,
    )
    flags = ("--tls-cert", certificate, "--tls-key", key, "--api-key-file", keys)
    log = tmp_path / "log"
    with serving_process(pairs.folder, log, *map(str, flags)) as served:
        address = served.address()
        assert address.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=address, verify=trusted, trust_env=False) as client:
            assert client.get("/v1/models/pairs").status_code == 401
            headers = {"Authorization": f"Bearer {KEY}"}
            assert client.get("/v1/models/pairs", headers=headers).status_code == 200
        assert served.stop(signal.SIGINT) == 130
