"""`kerastune serve RUN`: the run's model, exported to a folder that is then removed."""

import json
import os
import signal
import subprocess
import sys

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

import httpx  # noqa: E402

from kerastune_llm import train  # noqa: E402
from kerastune_llm.models.tokenizer import load_tokenizer  # noqa: E402
from tests.commands.runs import tiny_job  # noqa: E402
from tests.serving.running import until_ready  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    job = tiny_job(folder) | {"optim": {"max_steps": 1}, "output": str(folder / "out")}
    train(job)
    return folder / "out"


@pytest.fixture
def start(tmp_path, run):
    """Starts a server whose temporary files are in `tmp_path`."""
    started = []

    def begin():
        command = [sys.executable, "-m", "kerastune_llm.cli", "serve", str(run)]
        process = subprocess.Popen(
            [*command, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def folders(place):
    return list(place.glob("kerastune-*"))


def test_a_run_is_exported_served_and_its_export_removed(start, run, tmp_path):
    process = start()
    lines = iter(process.stdout.readline, "")
    url = next(line for line in lines if line.startswith("http")).strip()
    address, _, path = url.partition("/v1/")
    assert len(folders(tmp_path)) == 1
    row = json.loads(
        (run / "predictions/validation.jsonl").read_bytes().split(b"\n")[0]
    )
    # Its tokenizer has no form in a graph, so it takes ids.
    features = dict(load_tokenizer(run / "model")(row["input"]))
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        until_ready(client)
        body = {"instances": [features]}
        answer = client.post(f"/v1/{path}:predict", json=body).json()["predictions"][0]
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert answer["label"] == row["prediction"]
    assert folders(tmp_path) == []


def test_sigterm_while_it_exports_leaves_nothing(start, tmp_path):
    process = start()
    line = next(line for line in iter(process.stdout.readline, "") if "export" in line)
    assert "to a temporary folder first" in line
    assert len(folders(tmp_path)) == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert folders(tmp_path) == []
