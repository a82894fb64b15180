"""Checkpoints: whole or not there, checked, and of this model only."""

import errno
import json

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.training import checkpoint
from kerastune_llm.training.checkpoint import (
    DamagedCheckpoint,
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from kerastune_llm.training.model_state import frozen_fingerprint, state_parameters
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from tests.tiny_models import tiny, tiny_batch

METRICS = {"best": {"f1": 0.1 + 0.2, "loss": float("nan")}}


def model_of(method: str = "full", *, optimizer: str = "adamw") -> keras.Model:
    model = tiny("bert", num_hidden_layers=1)
    keras.utils.set_random_seed(5)
    apply_method(model, method)
    compile_model(model, build_optimizer(optimizer, learning_rate=0.01), seed=3)
    return model


def train(model: keras.Model, steps: int) -> None:
    data = tf.data.Dataset.from_tensors(tiny_batch(model)).repeat(steps)
    model.fit(data, verbose=0)


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {k: p.variable.numpy() for k, p in state_parameters(model).items()}


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_a_restored_model_trains_on_to_the_same_bits(method, tmp_path):
    model = model_of(method)
    train(model, 2)
    save_checkpoint(tmp_path / "step-2", model, METRICS)
    train(model, 2)
    restored = model_of(method)
    assert repr(read_checkpoint(tmp_path / "step-2")) == repr(METRICS)
    restore_checkpoint(tmp_path / "step-2", restored)
    train(restored, 2)
    expected, found = values(model), values(restored)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert int(restored.optimizer.iterations) == 4


def test_the_loss_scale_of_float16_is_restored(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model, restored = model_of("head"), model_of("head")
        train(model, 2)
        model.optimizer._loss_scale.current_loss_scale.assign(512.0)
        save_checkpoint(tmp_path / "step-2", model, {})
        restore_checkpoint(tmp_path / "step-2", restored)
        assert float(restored.optimizer.loss_scale) == 512
        assert int(restored.optimizer.dynamic_counter) == 2
        train(model, 1), train(restored, 1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for name, value in values(model).items():
        np.testing.assert_array_equal(values(restored)[name], value, err_msg=name)


def test_frozen_weights_are_not_written():
    model = model_of("head")
    train(model, 1)
    slots = {
        f"optimizer/classifier.{x}/{s}"
        for x in ("weight", "bias")
        for s in ("mean", "square")
    }
    assert state_parameters(model).keys() == {
        "model/classifier.weight",
        "model/classifier.bias",
        "optimizer/iterations",
        *slots,
    }


def test_frozen_weights_are_recognised():
    model = model_of("head")
    before = frozen_fingerprint(model)
    train(model, 1)
    assert frozen_fingerprint(model) == before == frozen_fingerprint(model_of("head"))
    model.bert.embeddings.weight.assign_add(tf.ones_like(model.bert.embeddings.weight))
    assert frozen_fingerprint(model) != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "tensors.safetensors"),
        lambda folder: flip(folder / "state.json"),
        lambda folder: flip(folder / "SHA256SUMS"),
        lambda folder: (folder / "SHA256SUMS").unlink(),
        lambda folder: (folder / "state.json").unlink(),
        lambda folder: (folder / "tensors.safetensors").write_bytes(b""),
    ],
)
def test_damage_is_found(damage, tmp_path):
    save_checkpoint(tmp_path / "step-1", model_of("head"), {"step": 1})
    damage(tmp_path / "step-1")
    with pytest.raises(DamagedCheckpoint, match="(?s)damaged.*step-1"):
        read_checkpoint(tmp_path / "step-1")


def flip(file) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def test_a_checkpoint_of_another_method_changes_nothing(tmp_path):
    lora, head = model_of("lora"), model_of("head")
    save_checkpoint(tmp_path / "step-1", lora, {})
    before = values(head)
    with pytest.raises(UserError, match="another model or method"):
        restore_checkpoint(tmp_path / "step-1", head)
    other = model_of("lora", optimizer="sgd")
    with pytest.raises(UserError, match="another model or method"):
        restore_checkpoint(tmp_path / "step-1", other)
    for name, value in values(head).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    model = model_of("head")
    save_checkpoint(tmp_path / "step-1", model, {"step": 1})

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_text", full)
    with pytest.raises(UserError, match="(?s)No space left.*Earlier ones are whole"):
        save_checkpoint(
            tmp_path / "step-2", model, {"step": 2}, obsolete=[tmp_path / "step-1"]
        )
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert read_checkpoint(tmp_path / "step-1") == {"step": 1}


def test_obsolete_ones_go_and_what_a_kill_left_is_swept(tmp_path):
    model = model_of("head")
    save_checkpoint(tmp_path / "step-1", model, {"step": 1})
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / "state.json").write_text(json.dumps({}))
    (tmp_path / ".discarded").mkdir()
    save_checkpoint(
        tmp_path / "step-2", model, {"step": 2}, obsolete=[tmp_path / "step-1"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]
