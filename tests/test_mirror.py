"""Run directories at an address; `memory://` stands for the bucket."""

import contextlib
import hashlib
import logging
from pathlib import Path

import fsspec
import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.remote import Remote
from kerastune_llm.rundir import CHECKSUMS, RunDir, write_json, write_text
from tests.mirrored_runs import add_checkpoint, begin, objects

pytestmark = pytest.mark.usefixtures("own_cache")


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


def test_a_folder_of_another_disk_is_never_seen_half_written(tmp_path):
    run = begin(f"file://{tmp_path}/there/run")
    add_checkpoint(run, 1)
    run.publish()
    there = tmp_path / "there" / "run"
    found = {x.relative_to(there) for x in there.rglob("*") if x.is_file()}
    assert found == {
        x.relative_to(run.path) for x in run.path.rglob("*") if x.is_file()
    }
