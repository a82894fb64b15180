"""Run directories in a bucket: that of an emulator process, and servers that refuse."""

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import fsspec
import pytest

from kerastune_llm import remote_errors
from kerastune_llm.data.downloads import local_file
from kerastune_llm.errors import UserError
from kerastune_llm.rundir import RunDir, write_text
from tests.buckets import BUCKET, Wire, bucket_at, emulator
from tests.mirrored_runs import add_checkpoint, begin

ADDRESS = f"gs://{BUCKET}/runs/one"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def at_once(monkeypatch) -> None:
    """No time passes before a connection is tried again."""
    monkeypatch.setattr(remote_errors, "FIRST_PAUSE", 0.0)
    now = SimpleNamespace(sleep=lambda seconds: asyncio.sleep(0))
    monkeypatch.setattr("gcsfs.retry.asyncio", now)


def test_connections_that_are_cut_leave_whole_objects(at_once, monkeypatch, tmp_path):
    with emulator() as port:
        # The last cuts are in an upload of more than one request.
        wire = Wire(port, cuts=[1_000, 300_000, 900_000, 8_000_000], refused=2)
        bucket_at(wire.port, monkeypatch)
        run = begin(ADDRESS)
        for step, size in ((1, 400_000), (2, 400_000), (3, 12_000_000)):
            write_text(run.checkpoint(step) / "state.json", "x" * size)
            add_checkpoint(run, step)
            run.publish()
        wire.close()
        assert not wire.left
        bucket_at(port, monkeypatch)
        fs = fsspec.filesystem("gs")
        found = fs.find(f"{BUCKET}/runs/one")
        names = [path.removeprefix(f"{BUCKET}/runs/one/") for path in found]
        files = [file for file in run.path.rglob("*") if file.is_file()]
        here = {file.relative_to(run.path).as_posix(): file for file in files}
        assert sorted(names) == sorted(here)
        for name, path in zip(names, found, strict=True):
            assert fs.cat_file(path) == here[name].read_bytes()

        back = Wire(port, cuts=[500, 2_000], refused=1)
        bucket_at(back.port, monkeypatch)
        monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "another"))
        again = RunDir.begun(ADDRESS)
        again.fetch(again.checkpoint(3))
        back.close()
        assert not back.left
        assert (again.checkpoint(3) / "state.json").stat().st_size == 12_000_000


def test_no_such_bucket(monkeypatch):
    with emulator() as port:
        bucket_at(port, monkeypatch)
        with pytest.raises(UserError, match="no such bucket or file"):
            RunDir.create("gs://another/runs/one")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "no valid credentials.*gcloud auth application-default login"),
        (403, "credentials do not allow this.*GOOGLE_APPLICATION_CREDENTIALS"),
        (404, "no such bucket or file"),
    ],
)
def test_refusals_are_one_message_without_secrets(code, message, monkeypatch, capfd):
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            error = {"code": code, "message": "token=abcdef is not it"}
            content = json.dumps({"error": error}).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            # A client may hang up when it has read that it is refused.
            with contextlib.suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bucket_at(server.server_address[1], monkeypatch)
    try:
        for ask in (RunDir.create, RunDir.begun, local_file):
            with pytest.raises(UserError, match=f"(?s){message}") as error:
                ask(ADDRESS)
            assert f"Received: {ADDRESS}" in str(error.value)
            assert "abcdef" not in str(error.value)
    finally:
        server.shutdown()
        server.server_close()
    assert capfd.readouterr() == ("", "")
