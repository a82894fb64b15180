"""Checkpoints cross over in both directions, proven by the logits.

PyTorch and transformers 5 run in an environment of their own, `.venv-interop`; here
there is only TensorFlow.
"""

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.models.checkpoint import save_model
from kerastune_llm.models.loading import load_model_with_report
from kerastune_llm.models.torch_layout import torch_parameters

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-interop" / "bin" / "python"
CONFIGS = REPOSITORY / "tests" / "models" / "tiny_configs.json"
TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-interop (make interop)"),
]

EVERY_ARCHITECTURE = [
    f"{kind}-{name}"
    for kind, configs in json.loads(CONFIGS.read_text()).items()
    for name in configs
]
STORED_OTHERWISE = [
    f"{name}-{how}"
    for name in ("seq2seq-t5", "classification-bert")
    for how in ("sharded", "float16", "bfloat16")
]
ONE_MATRIX = ["seq2seq-t5-untied-one-matrix", "seq2seq-mt5-one-matrix"]


def run(script: str, *arguments: Path) -> None:
    command = [PYTHON, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """Folders written by PyTorch."""
    folder = tmp_path_factory.mktemp("checkpoints")
    run("make_checkpoints.py", CONFIGS, folder)
    return folder


@pytest.fixture(scope="module")
def load(checkpoints) -> Callable[[str], tuple]:
    """`load(name)`: the model and its report, each checkpoint loaded once."""
    return functools.cache(lambda name: load_model_with_report(checkpoints / name))


@pytest.fixture(scope="module")
def written_here(
    checkpoints, load, tmp_path_factory
) -> tuple[Path, dict[str, np.ndarray]]:
    """The same models saved here and opened by PyTorch, with their logits here."""
    output = tmp_path_factory.mktemp("written_here")
    logits = {}
    for name in present(checkpoints, EVERY_ARCHITECTURE):
        model, _ = load(name)
        limit = 10_000 if name == "seq2seq-bart" else 5 * 10**9
        save_model(model, None, output / name, max_shard_bytes=limit)
        inputs, _ = reference(checkpoints / name)
        np.savez(output / name / "inputs.npz", **inputs)
        logits[name] = logits_of(model, inputs)
    run("check_directories.py", *(output / name for name in logits))
    return output, logits


def present(checkpoints: Path, names: list[str]) -> list[str]:
    skipped = json.loads((checkpoints / "skipped.json").read_text())
    return [name for name in names if name not in skipped]


def require(checkpoints: Path, name: str) -> None:
    skipped = json.loads((checkpoints / "skipped.json").read_text())
    if name in skipped:
        pytest.skip(skipped[name])


def reference(folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    values = dict(np.load(folder / "reference.npz"))
    return values, values.pop("logits")


def logits_of(model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return model(tensors, training=False).logits.numpy()


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE + STORED_OTHERWISE)
def test_pytorchs_checkpoint_gives_pytorchs_logits(checkpoints, load, name):
    require(checkpoints, name)
    model, report = load(name)
    inputs, expected = reference(checkpoints / name)
    np.testing.assert_allclose(logits_of(model, inputs), expected, atol=TOLERANCE)
    assert not report.missing + report.mismatched + report.copied
    assert not report.unexpected + report.unplaced


@pytest.mark.parametrize("name", ONE_MATRIX)
def test_an_unscaled_t5_that_version_5_saved_with_one_matrix(checkpoints, name):
    model, report = load_model_with_report(checkpoints / name)
    inputs, expected = reference(checkpoints / name)
    np.testing.assert_allclose(logits_of(model, inputs), expected, atol=TOLERANCE)
    assert report.copied == ("lm_head.weight from shared.weight",)


def test_a_base_t5_is_a_whole_model(checkpoints):
    model, report = load_model_with_report(checkpoints / "seq2seq-t5-base")
    inputs, expected = reference(checkpoints / "seq2seq-t5")
    np.testing.assert_allclose(logits_of(model, inputs), expected, atol=TOLERANCE)
    assert not report.missing


@pytest.mark.parametrize("name", ["bert-base", "bert-pretraining"])
def test_a_body_without_the_classifier(checkpoints, name):
    whole, _ = load_model_with_report(checkpoints / "classification-bert")
    model, report = load_model_with_report(
        checkpoints / f"classification-{name}", kind="classification"
    )
    assert set(report.missing) == {"classifier.weight", "classifier.bias"}
    assert all(unexpected.startswith("cls.") for unexpected in report.unexpected)
    assert bool(report.unexpected) == (name == "bert-pretraining")
    expected = torch_parameters(whole)
    for parameter, value in torch_parameters(model).items():
        if not parameter.startswith("classifier"):
            theirs = expected[parameter].to_torch()
            np.testing.assert_array_equal(value.to_torch(), theirs, err_msg=parameter)


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_our_folder_gives_our_logits_in_pytorch(checkpoints, written_here, name):
    require(checkpoints, name)
    output, logits = written_here
    opened = np.load(output / name / "opened.npz")["logits"]
    np.testing.assert_allclose(opened, logits[name], atol=TOLERANCE)
    keys = json.loads((output / name / "opened.json").read_text())
    assert not keys["missing_keys"] and not keys["mismatched_keys"]
    # TensorFlow's MPNet has a pooler that PyTorch's classifier does without.
    unused = [key for key in keys["unexpected_keys"] if "mpnet.pooler" not in key]
    assert not unused
