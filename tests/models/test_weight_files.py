"""Damaged, missing, pickled weight files: each refused with the file's name."""

import json
import pickle

import pytest
from safetensors.numpy import save_file

from kerastune_llm.errors import UserError
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.stored_tensors import find_tensors
from kerastune_llm.models.weight_files import weight_files


@pytest.fixture
def sharded(random_model, tmp_path):
    save_model(random_model("bert"), None, tmp_path / "sharded", max_shard_bytes=15_000)
    return tmp_path / "sharded"


def cut_short(file) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def test_truncated_safetensors(random_model, tmp_path):
    save_model(random_model("bert"), None, tmp_path / "saved")
    cut_short(tmp_path / "saved" / "model.safetensors")
    with pytest.raises(UserError, match="damaged or cut short") as error:
        find_tensors(tmp_path / "saved")
    assert "model.safetensors (" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"<html>404</html>"])
@pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
def test_a_file_of_something_else(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut short") as error:
        find_tensors(tmp_path)
    assert name in str(error.value)


def test_truncated_h5(random_model, tmp_path):
    random_model("bert").save_pretrained(tmp_path / "saved")
    cut_short(tmp_path / "saved" / "tf_model.h5")
    with pytest.raises(UserError, match="damaged or cut short"):
        find_tensors(tmp_path / "saved")


def test_the_pointer_of_git_lfs_is_named_as_such(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(UserError, match="git-lfs") as error:
        find_tensors(tmp_path)
    assert "git lfs pull" in str(error.value)


def test_a_missing_shard(sharded):
    shards = sorted(sharded.glob("*.safetensors"))
    shards[1].unlink()
    missing = f"1 of {len(shards)} weight shards are missing"
    with pytest.raises(UserError, match=missing) as error:
        find_tensors(sharded)
    assert shards[1].name in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(UserError, match="index of the weight shards is not readable"):
        find_tensors(tmp_path)


def test_an_index_may_not_point_outside_its_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    folder = tmp_path / "model"
    folder.mkdir()
    index = {"weight_map": {"shared.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"\.\./model.safetensors"):
        find_tensors(folder)


def test_a_pickle_is_not_opened(write_config, tmp_path):
    opened = tmp_path / "opened"

    class Bomb:
        def __reduce__(self):
            return (opened.write_text, ("boom",))

    folder = write_config("bert", architectures=["BertForSequenceClassification"])
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="unpickling runs whatever code") as error:
        find_tensors(folder)
    assert "from transformers import BertForSequenceClassification" in str(error.value)
    assert not opened.exists()


def test_flax_safetensors_are_refused(tmp_path):
    save_file({}, tmp_path / "model.safetensors", metadata={"format": "flax"})
    with pytest.raises(UserError, match="Flax"):
        find_tensors(tmp_path)


def test_an_adapters_folder_is_named_as_such(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="This is an adapter's folder"):
        weight_files(tmp_path)
