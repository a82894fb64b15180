"""Every architecture with a TensorFlow class, through every format on disk."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model_with_report

TINY_CONFIGS = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())
EVERY_ARCHITECTURE = [
    (kind, name) for kind, configs in TINY_CONFIGS.items() for name in configs
]


def save_with_transformers(model, folder, **how):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some non-default generation parameters")
        model.save_pretrained(folder, **how)


def assert_read_back_whole(model, folder):
    again, report = load_model_with_report(folder)
    assert type(again) is type(model)
    assert report.loaded == len(model.weights)
    assert not report.missing + report.unexpected + report.unplaced + report.mismatched
    for own, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy(), err_msg=own.name)


@pytest.mark.parametrize(("kind", "name"), EVERY_ARCHITECTURE)
def test_our_own_folder_is_equal_bit_for_bit(random_model, tmp_path, kind, name):
    model = random_model(name, kind)
    save_model(model, None, tmp_path / "saved")
    assert_read_back_whole(model, tmp_path / "saved")


# One for each way in which variables get their names.
@pytest.mark.parametrize(
    "name", ["t5-untied", "mbart", "led", "encoder-decoder", "bert", "convbert"]
)
@pytest.mark.parametrize(
    ("how", "file"),
    [
        ({}, "tf_model.h5"),
        ({"max_shard_size": "15KB"}, "tf_model.h5.index.json"),
        ({"safe_serialization": True}, "model.safetensors"),
        (
            {"safe_serialization": True, "max_shard_size": "15KB"},
            "model.safetensors.index.json",
        ),
    ],
)
def test_folders_of_the_tensorflow_line_are_read(
    random_model, tmp_path, name, how, file
):
    model = random_model(name)
    save_with_transformers(model, tmp_path / "saved", **how)
    assert (tmp_path / "saved" / file).is_file()
    assert_read_back_whole(model, tmp_path / "saved")
