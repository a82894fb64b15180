"""Data files at an address; `memory://` stands for the bucket."""

import gzip
import uuid

import fsspec
import pytest

from kerastune_llm.data.downloads import local_file
from kerastune_llm.data.sources import load_rows
from kerastune_llm.data.streaming import survey
from kerastune_llm.errors import UserError
from kerastune_llm.remote import Remote
from kerastune_llm.tasks.task import get_task

ROWS = b"sentence\tlabel\nDogs bark.\t1\nBark dogs the.\t0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    return f"memory://{uuid.uuid4().hex}"


def put(address: str, content: bytes) -> str:
    fs, path = fsspec.core.url_to_fs(address)
    fs.pipe_file(path, content)
    return address


def test_a_file_is_downloaded_once_for_each_content(folder, monkeypatch):
    address = put(f"{folder}/rows.tsv", ROWS)
    file = local_file(address)
    assert file.read_bytes() == ROWS and file.name == "rows.tsv"
    with monkeypatch.context() as patch:
        patch.delattr(Remote, "download")
        assert local_file(address) == file
    put(address, ROWS * 2)
    other = local_file(address)
    assert other != file
    assert (other.read_bytes(), file.read_bytes()) == (ROWS * 2, ROWS)


@pytest.mark.parametrize("name", ["rows.tsv", "rows.tsv.gz"])
def test_rows_are_those_of_a_local_file(folder, tmp_path, name):
    content = gzip.compress(ROWS) if name.endswith(".gz") else ROWS
    (tmp_path / name).write_bytes(content)
    address = put(f"{folder}/{name}", content)
    task = get_task("cola")
    rows, here = (
        load_rows(task, "train", source="files", path=path)
        for path in (address, tmp_path / name)
    )
    assert rows[:] == here[:]
    assert survey(task, address).digest == survey(task, tmp_path / name).digest


def test_what_is_no_file_is_said(folder):
    put(f"{folder}/in/rows.tsv", ROWS)
    for address, message in (
        (f"{folder}/rows.tsv", "no such bucket or file"),
        (f"{folder}/in", "A folder was given"),
    ):
        with pytest.raises(UserError, match=message) as error:
            local_file(address)
        assert f"Received: {address}" in str(error.value)
