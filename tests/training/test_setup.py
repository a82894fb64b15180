"""Seed, precision and strategy: what is set before a model is built."""

import logging
import random
import socket

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.training.precision import set_precision
from kerastune_llm.training.seed import seed_everything
from kerastune_llm.training.strategy import get_strategy
from kerastune_llm.training.tpu import find_tpu


def draws() -> list[float]:
    initializer = keras.initializers.RandomNormal()
    return [
        random.random(),
        float(np.random.rand()),
        float(tf.random.uniform(())),
        float(initializer(())),
    ]


def test_one_seed_fixes_every_generator():
    seed_everything(7)
    first = draws()
    seed_everything(7)
    assert draws() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed):
    with pytest.raises(UserError, match=f"0 to 4294967295 Received: {seed}"):
        seed_everything(seed)


@pytest.fixture
def float32_afterwards():
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("float32_afterwards")
@pytest.mark.parametrize(
    ("precision", "model_type", "compute"),
    [
        ("float32", "t5", "float32"),
        ("mixed_bfloat16", "t5", "bfloat16"),
        ("mixed_float16", "bert", "float16"),
    ],
)
def test_precision_is_set_and_reset(precision, model_type, compute):
    set_precision(precision, model_type)
    layer = keras.layers.Dense(1)
    assert (layer.compute_dtype, layer.variable_dtype) == (compute, "float32")
    set_precision("float32", model_type)
    assert keras.layers.Dense(1).compute_dtype == "float32"


@pytest.mark.parametrize("model_type", ["t5", "mt5"])
def test_float16_is_refused_for_t5(model_type):
    before = keras.mixed_precision.global_policy().name
    with pytest.raises(UserError, match="--runtime.precision mixed_bfloat16"):
        set_precision("mixed_float16", model_type)
    assert keras.mixed_precision.global_policy().name == before


def test_unknown_precision_and_strategy():
    with pytest.raises(UserError, match="Did you mean .*mixed_float16"):
        set_precision("float16", "bert")
    with pytest.raises(UserError, match="Did you mean mirrored"):
        get_strategy("miror")


def test_strategy_says_what_it_picked(caplog):
    caplog.set_level(logging.INFO, logger="kerastune_llm")
    assert get_strategy("one").num_replicas_in_sync == 1
    assert "one device" in caplog.text


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU"
)
def test_one_cpu_is_nothing_to_mirror_over():
    with pytest.raises(UserError, match="no GPU(.|\n)*--runtime.strategy one"):
        get_strategy("mirrored")


@pytest.fixture
def no_tpu_named(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.delenv("COLAB_TPU_ADDR", raising=False)


@pytest.mark.usefixtures("no_tpu_named")
def test_without_a_tpu_there_is_none(caplog):
    assert find_tpu() is None
    with pytest.raises(UserError, match="There is no TPU.*\n.*strategy tpu"):
        get_strategy("tpu")
    caplog.set_level(logging.INFO, logger="kerastune_llm")
    get_strategy("auto")
    assert "auto: no TPU" in caplog.text


@pytest.mark.usefixtures("no_tpu_named")
@pytest.mark.parametrize("name", ["tpu", "auto"])
def test_this_tensorflow_cannot_use_a_tpu(monkeypatch, name):
    """TensorFlow's own resolver and initialisation, in a build that has no TPU."""
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(UserError, match="cannot be used") as caught:
        get_strategy(name)
    assert "tensorflow-tpu" in str(caught.value)


@pytest.mark.usefixtures("no_tpu_named")
def test_an_address_where_nobody_listens(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("COLAB_TPU_ADDR", f"127.0.0.1:{port}")
    assert find_tpu() == f"grpc://127.0.0.1:{port}"
    with pytest.raises(UserError, match="does not answer: Connection refused"):
        get_strategy("auto")


def test_auto_is_one_device_without_several_gpus():
    gpus = len(tf.config.list_logical_devices("GPU"))
    assert get_strategy("auto").num_replicas_in_sync == max(1, gpus)
