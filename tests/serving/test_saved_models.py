"""Exported models that are found and loaded, and folders that are refused."""

import json
import shutil

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.serving.rest import InputSpec, RequestError
from kerastune_llm.serving.saved_models import check_files, load_folder, load_version


@pytest.fixture
def copied(pairs, tmp_path):
    return shutil.copytree(pairs.folder / "pairs/1", tmp_path / "pairs/1")


def test_every_version_is_loaded(pairs):
    models = load_folder(pairs.folder)
    found = [(model.name, model.version) for model in models]
    assert found == [("pairs", 1), ("pairs", 2)]
    model = models[0]
    assert model.inputs("serving_default") == {
        "sentence1": InputSpec("string", 1),
        "sentence2": InputSpec("string", 1),
    }
    assert model.inputs("from_ids")["input_ids"] == InputSpec("int32", 2)
    assert model.classifies
    assert model.may_share("serving_default") and not model.may_share("from_ids")
    with pytest.raises(RequestError, match='"absent" not found in signature def'):
        model.inputs("absent")


def test_a_folder_without_models(tmp_path):
    with pytest.raises(UserError, match="no exported model(.|\n)*--to savedmodel"):
        load_folder(tmp_path)


@pytest.mark.parametrize("name", ["saved_model.pb", "export.json", "SHA256SUMS"])
def test_a_foreign_model(copied, name):
    (copied / name).unlink()
    with pytest.raises(UserError, match=f"no {name}"):
        load_folder(copied.parents[1])


def test_a_missing_file(copied):
    (copied / "variables/variables.index").unlink()
    with pytest.raises(UserError, match="missing: variables/variables.index"):
        check_files(copied)


def test_a_changed_file(copied):
    with (copied / "variables/variables.data-00000-of-00001").open("r+b") as file:
        file.write(b"\x00\x01\x02\x03")
    with pytest.raises(UserError, match="changed since it was exported: variables"):
        check_files(copied)


def test_a_form_of_the_future(copied):
    facts = json.loads((copied / "export.json").read_text())
    (copied / "export.json").write_text(json.dumps({**facts, "format": 2}))
    with pytest.raises(UserError, match="does not know"):
        load_version(copied)


def test_a_graph_that_tensorflow_cannot_load(copied):
    (copied / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match="cannot load"):
        load_version(copied)
