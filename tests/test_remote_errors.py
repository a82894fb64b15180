"""Remotes that stay away, drop connections, or refuse; `memory://` is the bucket."""

import errno
import importlib
import re

import fsspec
import pytest

from kerastune_llm import remote_errors
from kerastune_llm.errors import JobFailed, UserError
from kerastune_llm.remote import Remote
from kerastune_llm.rundir import RunDir
from tests.mirrored_runs import add_checkpoint, begin, objects

pytestmark = pytest.mark.usefixtures("own_cache")


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
