"""Model folders on disk for the tests of loading and saving."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.models.loading import load_model

TINY_CONFIGS = Path(__file__).with_name("tiny_configs.json")


@pytest.fixture
def write_config(tmp_path) -> Callable[..., Path]:
    """`write_config("bert")`: a folder with the configuration of a tiny model alone."""
    tiny = json.loads(TINY_CONFIGS.read_text())

    def write(name: str, kind: str | None = None, **changes) -> Path:
        kind = kind or next(kind for kind, configs in tiny.items() if name in configs)
        folder = tmp_path / f"{kind}-{name}"
        folder.mkdir(parents=True)
        text = json.dumps(tiny[kind][name] | changes)
        (folder / "config.json").write_text(text)
        return folder

    return write


@pytest.fixture
def random_model(write_config) -> Callable:
    """`random_model("bert")`: a built tiny model, no two weights of which are alike."""

    def make(name: str, kind: str | None = None, **changes):
        folder = write_config(name, kind, **changes)
        model = load_model(
            folder, kind=folder.name.partition("-")[0], from_scratch=True
        )
        for number, variable in enumerate(model.weights):
            values = np.random.default_rng(number).normal(size=variable.shape)
            variable.assign(tf.cast(values, variable.dtype))
        return model

    return make
