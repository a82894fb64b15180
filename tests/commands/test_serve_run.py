"""`kerastune serve RUN`: the run's model, exported to a folder that is then removed."""

import json
import signal

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)

import httpx  # noqa: E402

from kerastune_llm import train  # noqa: E402
from kerastune_llm.models.tokenizer import load_tokenizer  # noqa: E402
from tests.commands.runs import tiny_job  # noqa: E402
from tests.serving.running import serving_process, until_ready  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    job = tiny_job(folder) | {"optim": {"max_steps": 1}, "output": str(folder / "out")}
    train(job)
    return folder / "out"


def folders(place):
    return list(place.glob("kerastune-*"))


def test_a_run_is_exported_served_and_its_export_removed(run, tmp_path):
    row = json.loads(
        (run / "predictions/validation.jsonl").read_bytes().split(b"\n")[0]
    )
    # Its tokenizer has no form in a graph, so it takes ids.
    features = dict(load_tokenizer(run / "model")(row["input"]))
    with serving_process(run, tmp_path / "log", TMPDIR=str(tmp_path)) as served:
        path = served.line("/v1/models/").partition("/versions/")[0]
        assert len(folders(tmp_path)) == 1
        with httpx.Client(
            base_url=served.address(), timeout=60, trust_env=False
        ) as client:
            until_ready(client)
            answer = client.post(f"{path}:predict", json={"instances": [features]})
        assert served.stop(signal.SIGTERM) == 0
    assert answer.json()["predictions"][0]["label"] == row["prediction"]
    assert folders(tmp_path) == []


def test_sigterm_while_it_exports_leaves_nothing(run, tmp_path):
    with serving_process(run, tmp_path / "log", TMPDIR=str(tmp_path)) as served:
        assert "to a temporary folder first" in served.line("exporting")
        assert len(folders(tmp_path)) == 1
        assert served.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert folders(tmp_path) == []
