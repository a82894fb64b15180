"""Run directories at an address; `memory://` stands for the bucket."""

import contextlib
import errno
import hashlib
import importlib
import logging
import re
import uuid
from pathlib import Path

import fsspec
import pytest

from kerastune_llm import remote_errors
from kerastune_llm.errors import JobFailed, UserError
from kerastune_llm.remote import Remote
from kerastune_llm.rundir import CHECKSUMS, RunDir, write_json, write_text


class Killed(BaseException):
    """The end of a process, which nothing handles."""


class Machine:
    """A machine with a cache of its own."""

    def __init__(self, cache: Path, monkeypatch) -> None:
        self.cache, self.monkeypatch = cache, monkeypatch

    def __enter__(self) -> None:
        self.monkeypatch.setenv("KERASTUNE_CACHE", str(self.cache))

    def __exit__(self, *_) -> None:
        self.monkeypatch.undo()


@pytest.fixture
def address() -> str:
    return f"memory://{uuid.uuid4().hex}/runs/one"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "here"))


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that were made, none of which takes any time."""
    made, now = [], [0.0]

    def sleep(seconds: float) -> None:
        made.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(remote_errors.time, "sleep", sleep)
    monkeypatch.setattr(remote_errors.time, "monotonic", lambda: now[0])
    return made


def objects(address: str) -> dict[str, bytes]:
    fs, root = fsspec.core.url_to_fs(address)
    return {path[len(root) + 1 :]: fs.cat_file(path) for path in fs.find(root)}


def add_checkpoint(run: RunDir, step: int, *, keep: int = 2) -> None:
    """What a run writes up to and in a checkpoint."""
    run.append_history({"step": step})
    write_text(run.model / "model.safetensors", f"the best before {step}")
    folder = run.checkpoint(step)
    content = f"weights after {step}"
    write_text(folder / "tensors.safetensors", content)
    write_text(folder / CHECKSUMS, hashlib.sha256(content.encode()).hexdigest())
    for old in run.saved_checkpoints()[keep:]:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()


def begin(address: str) -> RunDir:
    run = RunDir.create(address)
    write_json(run.environment, {})
    write_json(run.config, {"task": "cola"})
    run.publish()
    return run


def resumable_step(found: dict[str, bytes]) -> int:
    """The step a run goes on from, by what is at its address and nothing else."""
    for step in range(9, 0, -1):
        folder = f"checkpoints/step-{step:08d}"
        tensors, sums = (
            found.get(f"{folder}/{name}") for name in ("tensors.safetensors", CHECKSUMS)
        )
        if tensors and sums == hashlib.sha256(tensors).hexdigest().encode():
            return step
    return 0


def test_a_kill_at_any_moment_leaves_what_a_run_goes_on_from(address, monkeypatch):
    run = begin(address)
    add_checkpoint(run, 1)
    add_checkpoint(run, 2)
    run.publish()
    add_checkpoint(run, 3)
    # Three new files of history, model and checkpoint; two of a checkpoint too many.
    calls = {"left": 0}
    for name in ("_put", "_remove"):
        original = getattr(Remote, name)

        def counted(self, *args, original=original):
            calls["left"] -= 1
            if calls["left"] < 0:
                raise Killed
            return original(self, *args)

        monkeypatch.setattr(Remote, name, counted)
    steps = []
    for moment in range(7):
        calls["left"] = 1 if moment else 0
        with contextlib.suppress(Killed):
            run.publish()
        found = objects(address)
        step = resumable_step(found)
        steps.append(step)
        assert found["metrics.jsonl"].count(b"\n") >= step
        assert f"the best before {step}".encode() <= found["model/model.safetensors"]
    assert steps == [2, 2, 2, 2, 3, 3, 3]
    run.publish()
    names = {name for name in objects(address) if name.startswith("checkpoints/")}
    assert {name.split("/")[1] for name in names} == {"step-00000002", "step-00000003"}


def test_another_machine_goes_on_and_the_first_one_yields(
    address, tmp_path, monkeypatch, caplog
):
    run = begin(address)
    add_checkpoint(run, 1)
    run.publish()
    add_checkpoint(run, 2)  # not sent
    with Machine(tmp_path / "other", monkeypatch):
        other = RunDir.begun(address)
        assert [x["step"] for x in other.read_history()] == [1]
        (newest,) = other.saved_checkpoints()
        assert not any(newest.iterdir())
        other.fetch(newest)
        assert {x.name for x in newest.iterdir()} == {"tensors.safetensors", CHECKSUMS}
        add_checkpoint(other, 5)
        other.publish()
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "here"))
    with caplog.at_level(logging.WARNING):
        again = RunDir.begun(address)
    assert "is not as this machine last knew it" in caplog.text
    assert [x["step"] for x in again.read_history()] == [1, 5]
    assert [x.name for x in again.saved_checkpoints()] == [
        "step-00000005",
        "step-00000001",
    ]


def test_the_same_machine_sends_what_it_could_not(address):
    run = begin(address)
    add_checkpoint(run, 1)
    again = RunDir.begun(address)
    assert [x["step"] for x in again.read_history()] == [1]
    assert again.publish() == 4
    assert again.publish() == 0
    assert resumable_step(objects(address)) == 1


def test_a_verb_fetches_what_it_reads_and_no_more(address, tmp_path, monkeypatch):
    run = begin(address)
    add_checkpoint(run, 1)
    write_text(run.tensorboard / "events", "curves")
    write_json(run.metrics, {"f1": 1.0})
    run.publish()
    with Machine(tmp_path / "reader", monkeypatch):
        read = RunDir.finished(address)
        assert read.trained == read.model and not any(read.model.iterdir())
        assert read.saved_bytes == len("the best before 1")
        read = RunDir.open(address)
        assert (read.model / "model.safetensors").exists()
        assert not any(read.tensorboard.iterdir())
        assert not any(read.checkpoint(1).iterdir())


def test_a_run_is_not_begun_twice_and_can_be_once_it_is_gone(address):
    begin(address)
    with pytest.raises(UserError, match="already holds an unfinished run") as error:
        RunDir.create(address)
    assert address in str(error.value)
    fs, root = fsspec.core.url_to_fs(address)
    fs.rm(root, recursive=True)
    with pytest.raises(UserError, match="no run in this folder"):
        RunDir.begun(address)
    assert RunDir.create(address).path.is_dir()


def test_a_refused_run_leaves_the_one_that_is_there_alone(address):
    run = begin(address)
    add_checkpoint(run, 1)  # not sent yet
    before = {x: x.read_bytes() for x in run.path.rglob("*") if x.is_file()}
    with pytest.raises(UserError, match="already holds"):
        RunDir.create(address)
    assert before == {x: x.read_bytes() for x in run.path.rglob("*") if x.is_file()}


def test_dropped_connections_are_waited_for(address, pauses, monkeypatch, caplog):
    run = begin(address)
    drops = iter([ConnectionResetError("reset by peer")] * 4 + [None] * 99)
    fs, _ = fsspec.core.url_to_fs(address)
    put = type(fs).put_file

    def dropping(self, *args, **kwargs):
        if error := next(drops):
            raise error
        return put(self, *args, **kwargs)

    monkeypatch.setattr(type(fs), "put_file", dropping)
    add_checkpoint(run, 1)
    assert run.publish() == 4
    assert len(pauses) == 4
    for number, pause in enumerate(pauses):
        assert 2**number <= pause <= 1.5 * 2**number
    assert caplog.text.count("reset by peer; trying again") == 4


def test_what_arrives_broken_is_sent_again(address, pauses, monkeypatch):
    run = begin(address)
    fs, _ = fsspec.core.url_to_fs(address)
    put, cut = type(fs).put_file, iter([True, *[False] * 99])

    def cutting(self, source, target, **kwargs):
        put(self, source, target, **kwargs)
        if next(cut):
            self.pipe_file(target, self.cat_file(target)[:-1])

    monkeypatch.setattr(type(fs), "put_file", cutting)
    add_checkpoint(run, 1)
    run.publish()
    assert len(pauses) == 1
    assert objects(address) == {
        file.relative_to(run.path).as_posix(): file.read_bytes()
        for file in run.path.rglob("*")
        if file.is_file()
    }


def test_a_remote_that_stays_away_costs_nothing_but_the_end(
    address, pauses, monkeypatch, caplog
):
    run = begin(address)
    fs, _ = fsspec.core.url_to_fs(address)

    def away(*args, **kwargs):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "put_file", away)
        add_checkpoint(run, 1)
        assert run.publish() == 0
        assert f"stays in {run.path}" in caplog.text
        assert sum(pauses) < remote_errors.PATIENCE + 1.5 * remote_errors.LONGEST_PAUSE
        with pytest.raises(JobFailed, match="cannot be reached") as error:
            run.publish(at_end=True)
    message = str(error.value)
    assert str(run.path) in message and f"kerastune resume {address}" in message
    assert RunDir.begun(address).publish() == 4


def test_a_full_disk_is_no_dropped_connection(address, pauses, monkeypatch):
    begin(address)
    fs, _ = fsspec.core.url_to_fs(address)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(fs), "get_file", full)
    with pytest.raises(OSError, match="No space left"):
        Remote(address).download("config.json", RunDir(address).path / "config.json")
    assert not pauses


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gss://bucket/run", r"no such kind of address.*Accepted: gs://"),
        ("gs://bucket", r"whole bucket.*gs://bucket/runs/NAME"),
        ("sftp://me:word@host/run", r"password would be written.*sftp://\.\.\.@host"),
    ],
)
def test_addresses_that_are_refused(address, message):
    with pytest.raises(UserError) as error:
        RunDir.create(address)
    assert re.search(message, str(error.value), re.DOTALL)
    assert "word@" not in str(error.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    registry = importlib.import_module("fsspec.registry")
    for protocol, name in (("gs", "gcsfs"), ("s3", "s3fs")):
        place = {"class": f"{name}.absent.FileSystem", "err": "none"}
        monkeypatch.setitem(registry.known_implementations, protocol, place)
        monkeypatch.delitem(registry._registry, protocol, raising=False)
    with pytest.raises(UserError, match=r'pip install "kerastune_llm\[gcs\]"'):
        Remote("gs://bucket/run")
    with pytest.raises(UserError, match="pip install s3fs"):
        Remote("s3://bucket/run")


def test_a_folder_of_another_disk_is_never_seen_half_written(tmp_path):
    run = begin(f"file://{tmp_path}/there/run")
    add_checkpoint(run, 1)
    run.publish()
    there = tmp_path / "there" / "run"
    found = {x.relative_to(there) for x in there.rglob("*") if x.is_file()}
    assert found == {
        x.relative_to(run.path) for x in run.path.rglob("*") if x.is_file()
    }
