"""Runs whose directory is in a bucket, that of an emulator in a process of its own."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from kerastune_llm import remote_errors
from kerastune_llm.cli import main
from kerastune_llm.config import merge
from tests.buckets import BUCKET, Wire, bucket_at, emulator
from tests.commands.runs import differing, outcome

# Trains, and dies by SIGKILL after update 7, with what was being sent.
KILLED = """
import json, os, signal, sys
import kerastune_llm
from kerastune_llm.backend import keras
from kerastune_llm.training.callbacks import completed_steps

class Die(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if completed_steps(self.model) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

kerastune_llm.train(json.loads(sys.argv[1]), callbacks=[Die()])
"""


@pytest.fixture(scope="module")
def port():
    with emulator() as port:
        yield port


@pytest.fixture(autouse=True)
def bucket(port, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    bucket_at(port, monkeypatch)


@pytest.fixture
def at_once(monkeypatch) -> None:
    """No time passes before a connection is tried again."""
    monkeypatch.setattr(remote_errors, "FIRST_PAUSE", 0.0)
    now = SimpleNamespace(sleep=lambda seconds: asyncio.sleep(0))
    monkeypatch.setattr("gcsfs.retry.asyncio", now)


def another_machine(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "another"))


def fetched(address: str, folder: Path) -> Path:
    """All objects of a run, got by fsspec alone."""
    fs, root = fsspec.core.url_to_fs(address)
    fs.invalidate_cache()
    for path in fs.find(root):
        file = folder / path[len(root) + 1 :]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(fs.cat_file(path))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_connections_that_drop_cost_no_bit(
    job, unbroken, port, at_once, monkeypatch, tmp_path, capsys
):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(job))
    address = f"gs://{BUCKET}/runs/dropped"
    # Of 1.1 MB: in the first files, among checkpoints, and near the end.
    wire = Wire(port, cuts=[1_000, 200_000, 500_000, 900_000], refused=2)
    bucket_at(wire.port, monkeypatch)
    assert main(["train", "--config", str(config), "--output", address]) == 0
    wire.close()
    assert not wire.left, f"{wire.sent} bytes were sent in all"
    out = capsys.readouterr().out
    assert f"kerastune evaluate {address}" in out
    bucket_at(port, monkeypatch)
    run = fetched(address, tmp_path / "fetched")
    assert not differing(outcome(unbroken), outcome(run))
    (copy,) = (tmp_path / "cache" / "runs").glob("*/dropped")
    assert files(run) == files(copy)
    assert json.loads((run / "config.json").read_text())["output"] == address
    another_machine(monkeypatch, tmp_path)
    assert main(["evaluate", address]) == 0
    assert "the same as the run's own metrics.json" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_goes_on_on_another_machine(
    job, unbroken, monkeypatch, tmp_path, capsys
):
    address = f"gs://{BUCKET}/runs/killed"
    rows, fs = f"gs://{BUCKET}/data/rows.csv", fsspec.filesystem("gs")
    fs.put_file(job["data"]["train"], rows)
    values = {**merge(job, {"data": {"train": rows}}), "output": address}
    died = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(values)], capture_output=True
    )
    assert died.returncode == -9, died.stderr[-2000:]
    newest, before = (f"{address}/checkpoints/step-0000000{n}" for n in (6, 5))
    fs.invalidate_cache()
    assert fs.exists(f"{newest}/SHA256SUMS") and fs.exists(f"{before}/SHA256SUMS")
    another_machine(monkeypatch, tmp_path)
    # As if it had died in the middle of sending the newest.
    fs.rm_file(f"{newest}/SHA256SUMS")
    assert main(["resume", address]) == 0
    out = capsys.readouterr().out
    assert "step-00000006" in out and "The one before is used" in out
    assert "going on from step-00000005, 10 updates in all" in out
    run = fetched(address, tmp_path / "fetched")
    assert not differing(outcome(unbroken), outcome(run))
    assert json.loads((run / "config.json").read_text())["data"]["train"] == rows
    assert len(list((run / "checkpoints").iterdir())) == 2
    assert main(["resume", address]) == 2
    assert "This run is finished" in capsys.readouterr().err


@pytest.mark.long
def test_of_several_workers_the_first_writes_and_all_read(job, monkeypatch, tmp_path):
    address = f"gs://{BUCKET}/runs/workers"
    config = tmp_path / "config.json"
    config.write_text(json.dumps(merge(job, {"optim": {"epochs": 1}})))
    launch = [
        sys.executable,
        "-m",
        "kerastune_llm.cli",
        "launch",
        "--workers",
        "2",
        "--",
    ]
    for verb in (
        ["train", "--config", str(config), "--output", address],
        ["resume", address, "--optim.epochs", "2"],
    ):
        done = subprocess.run([*launch, *verb], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr[-2000:]
        another_machine(monkeypatch, tmp_path)
    assert "going on from step-00000005, 10 updates in all" in done.stdout
    run = fetched(address, tmp_path / "fetched")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    steps = [x["step"] for x in map(json.loads, lines) if "evaluation" not in x]
    assert steps == list(range(1, 11))
    assert (run / "metrics.json").exists()


def test_what_is_wrong_with_an_address_is_said_at_once(job, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(job))
    train = ["train", "--config", str(config)]
    for argv, message in (
        ([*train, "--output", "gs://another/run"], "no such bucket or file"),
        ([*train, "--data.train", f"gs://{BUCKET}/no.csv"], "no such bucket or file"),
        (["resume", f"gs://{BUCKET}/no/run"], "no run in this folder"),
        (["report", f"gs://{BUCKET}/no/run"], "no run in this folder"),
        (["compare", *train[1:], "--methods", "full", "--output", "gs://b/c"], "only"),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert err.startswith("kerastune: ") and message in err
        assert "Received: gs://" in err and "Traceback" not in err
