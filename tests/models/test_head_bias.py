"""A new multilabel head begins at the shares of its labels, a given one is kept."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model
from tests.tiny_models import tiny

SHARES = [0.5, 0.02, 0.9]
IDS = {"input_ids": np.array([[5, 6, 7]], np.int32)}


@pytest.fixture
def folder(tmp_path, request):
    save_model(tiny(request.param), None, tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", ["bert", "distilbert", "roberta"], indirect=True)
def test_a_new_head_s_bias_gives_the_shares(folder):
    weights = folder / "model.safetensors"
    stored = load_file(weights)
    body = {name: each for name, each in stored.items() if "classifier" not in name}
    assert len(body) < len(stored)
    save_file(body, weights, metadata={"format": "pt"})
    labels = ["a", "b", "c"]
    plain = load_model(folder, kind="multilabel", labels=labels, seed=1)
    begun = load_model(folder, kind="multilabel", labels=labels, seed=1, shares=SHARES)
    added = (begun(IDS).logits - plain(IDS).logits).numpy()[0]
    np.testing.assert_allclose(expit(added), SHARES, rtol=1e-4)


@pytest.mark.parametrize("folder", ["bert"], indirect=True)
def test_the_head_of_a_checkpoint_is_kept(folder):
    kept = load_model(folder, kind="multilabel")
    again = load_model(folder, kind="multilabel", shares=SHARES)
    np.testing.assert_array_equal(kept(IDS).logits, again(IDS).logits)
