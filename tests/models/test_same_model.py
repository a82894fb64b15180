"""Whether two names are of one model."""

import shutil
from pathlib import Path

import pytest

from kerastune_llm.models.same_model import compare_models
from kerastune_llm.models.sources import STARTER_FOLDER

STARTER = str(STARTER_FOLDER)


@pytest.fixture
def copy(tmp_path) -> Path:
    return Path(shutil.copytree(STARTER_FOLDER, tmp_path / "copy"))


def test_a_copy_is_the_same_model(copy):
    assert compare_models(str(copy), STARTER) == "same"


def test_one_other_byte_is_another_model(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert compare_models(str(copy), STARTER) == "different"


def test_a_folder_without_weights_cannot_be_told(copy):
    (copy / "model.safetensors").unlink()
    assert compare_models(str(copy), STARTER) == "unknown"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("org/t5", "org/t5", "same"),
        ("t5-small", "google-t5/t5-small", "unknown"),
        ("org/t5", "org/flan-t5", "different"),
        ("org/t5", STARTER, "unknown"),
        ("/moved/away", STARTER, "unknown"),
        ("/moved/away", "org/t5", "unknown"),
        ("", "org/t5", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_names_alone(one, other, expected):
    assert compare_models(one, other) == expected
    assert compare_models(other, one) == expected
