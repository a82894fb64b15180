"""`kerastune serve` as a process: its log, TLS and keys, SIGTERM."""

import json
import shutil
import signal
import ssl
import subprocess
import sys
import threading

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

import httpx  # noqa: E402

from tests.serving.running import eventually, queued_rows, until_ready  # noqa: E402

KEY = "k" * 32
ROW = {"sentence1": "dogs bark", "sentence2": "bark"}


@pytest.fixture
def start():
    """Starts a server; gives the process, and the address that it prints first."""
    started = []

    def run(folder, *flags):
        process = subprocess.Popen(
            [sys.executable, "-m", "kerastune_llm.cli", "serve", str(folder), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().strip().partition("/v1/")[0]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_sigterm_answers_what_was_accepted(start, pairs):
    flags = ("--port", "0", "--batch-timeout-ms", "5000", "--max-batch", "1000")
    process, address = start(pairs.folder, *flags)
    assert address.startswith("http://127.0.0.1:")
    statuses = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:

        def ask():
            body = {"instances": [ROW]}
            answer = client.post("/v1/models/pairs/versions/1:predict", json=body)
            statuses.append(answer.status_code)

        until_ready(client)
        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        eventually(lambda: queued_rows(client, "pairs") == 16)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
    out, err = process.communicate(timeout=60)
    assert statuses == [200] * 16
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    predicted = [line for line in lines if line["path"].endswith(":predict")]
    assert [(line["status"], line["rows"]) for line in predicted] == [(200, 1)] * 16
    assert predicted[0]["client"] == "127.0.0.1" and predicted[0]["seconds"] > 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_tls_and_keys_from_files(start, pairs, tmp_path):
    certificate, key, keys = (tmp_path / name for name in ("cert", "key", "keys"))
    keys.write_text(KEY + "\n")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}".split(),
        check=True,
        capture_output=True,
    )
    flags = ("--tls-cert", certificate, "--tls-key", key, "--api-key-file", keys)
    process, address = start(pairs.folder, "--port", "0", *map(str, flags))
    assert address.startswith("https://127.0.0.1:")
    trusted = ssl.create_default_context(cafile=certificate)
    with httpx.Client(base_url=address, verify=trusted, trust_env=False) as client:
        assert client.get("/v1/models/pairs").status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models/pairs", headers=headers).status_code == 200
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
