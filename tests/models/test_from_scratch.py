"""Models from a configuration alone: random weights, and what is refused."""

import logging

import numpy as np
import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.models.loading import load_model
from tests.tiny_models import values


def test_from_scratch_reads_no_weights(write_config, caplog):
    folder = write_config("t5")
    (folder / "model.safetensors").write_text("not weights at all")
    with caplog.at_level(logging.INFO):
        model = load_model(folder, from_scratch=True)
    assert "random weights (from scratch)" in caplog.text
    assert model(model.dummy_inputs).logits.shape == (1, 2, 64)


@pytest.mark.parametrize("name", ["t5-untied", "marian", "led"])
def test_from_scratch_no_two_weights_start_the_same(write_config, name):
    model = load_model(write_config(name), from_scratch=True)
    seen = {}
    for parameter, value in values(model).items():
        if np.ptp(value) == 0 or parameter.endswith("embed_positions.weight"):
            continue
        twin = seen.setdefault(value.tobytes(), parameter)
        assert twin == parameter


def test_from_scratch_keeps_the_sinusoids(write_config):
    loaded = values(load_model(write_config("marian"), from_scratch=True))
    tables = [v for n, v in loaded.items() if n.endswith("embed_positions.weight")]
    np.testing.assert_array_equal(*tables)
    np.testing.assert_allclose(tables[0][3, 0], np.sin(3.0), atol=1e-6)


def test_the_seed_decides_the_random_weights(write_config):
    folder = write_config("t5-untied")
    first, again, other = (
        values(load_model(folder, from_scratch=True, seed=seed)) for seed in (7, 7, 8)
    )
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    assert np.abs(first["shared.weight"] - other["shared.weight"]).max() > 0


def test_a_configuration_that_makes_no_model_is_refused(write_config):
    folder = write_config("bert", hidden_size=15)
    with pytest.raises(UserError, match="cannot be built") as error:
        load_model(folder, from_scratch=True)
    assert "multiple of the number of attention heads" in str(error.value)
