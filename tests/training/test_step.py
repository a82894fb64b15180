"""The training step, against transformers' own loss."""

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.training import step
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model, loss_sum
from tests.tiny_models import tiny, tiny_batch
from tests.training.steps import Steps, dataset, own_loss, uneven, with_labels

# Tracing a step costs a second a layer.
BERT = {"num_hidden_layers": 1}
STILL_BERT = {**BERT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STILL_T5 = {"num_layers": 1, "dropout_rate": 0.0}


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    jit: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> list[dict]:
    optimizer = build_optimizer("adamw", learning_rate=0.01, clip_norm=1.0)
    compile_model(model, optimizer, jit=jit)
    steps = Steps()
    model.fit(batches, callbacks=[steps, *callbacks], verbose=0)
    return steps.logs


def test_fit_traces_the_step_once():
    model = tiny("bert", **BERT)
    batch = tiny_batch(model)
    optimizer = build_optimizer("adamw", learning_rate=0.01)
    compile_model(model, optimizer)
    traces = []
    own_step = model.train_step

    def counted(data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        traces.append(data)
        return own_step(data)

    model.train_step = counted
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0)
    assert len(traces) == 1
    assert int(optimizer.iterations) == 2


def test_fit_traces_the_package_s_code_as_it_is_written(monkeypatch):
    model = tiny("bert", **BERT)
    states = set()

    def watched(*arguments, **options):
        states.add(tf.__internal__.autograph.control_status_ctx().status.name)
        return loss_sum(*arguments, **options)

    monkeypatch.setattr(step, "loss_sum", watched)
    fit(model, dataset(tiny_batch(model)))
    assert states == {"DISABLED"}


def label_sets(model: keras.Model, rows: int) -> tf.Tensor:
    return tf.cast(tf.one_hot(tf.range(rows) % 3, 3), tf.float32)


@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("kind", ["text", "label", "number", "labels"])
def test_rows_that_do_not_count_change_nothing(kind, accumulate_steps):
    """Two of four rows, against a batch of the other two, by their weights."""
    trained, logs = [], []
    for filled in (False, True):
        if kind == "text":
            model = tiny("t5", **STILL_T5)
        else:
            several = {"problem_type": "multi_label_classification"}
            changes = several if kind == "labels" else {}
            labels = 1 if kind == "number" else 3
            model = tiny("bert", num_labels=labels, **STILL_BERT, **changes)
        batch = tiny_batch(model)
        if kind == "number":
            batch["labels"] = tf.constant([0.5, -1.0, 2.0, 3.0])
        elif kind == "labels":
            batch["labels"] = label_sets(model, 4)
        if filled:
            batch["counted"] = tf.constant([1, 1, 0, 0])
        else:
            batch = {name: values[:2] for name, values in batch.items()}
        optimizer = build_optimizer("sgd", learning_rate=0.1)
        compile_model(model, optimizer, accumulate_steps=accumulate_steps)
        steps = Steps()
        data = tf.data.Dataset.from_tensors(batch)
        model.fit(data, callbacks=[steps], verbose=0)
        logs.append(steps.logs[0])
        trained.append([variable.numpy() for variable in model.trainable_variables])
        total, count = loss_sum(model, batch, training=False)
        logs[-1]["after"] = float(total / count)
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    assert logs[0]["examples"] == 2
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_logs_are_this_steps_own():
    model = tiny("t5", **STILL_T5)
    batches = uneven(model)
    expected = [own_loss(model, batches[0])]

    class NextLoss(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            expected.append(own_loss(model, batches[1]))

    logs = fit(model, dataset(*batches), callbacks=[NextLoss()])
    names = {"loss", "gradient_norm", "learning_rate", "tokens", "examples"}
    assert set(logs[0]) == names
    assert [step["loss"] for step in logs] == pytest.approx(expected[:2], rel=1e-5)
    # Were the second a mean with the first, it would not have passed.
    assert expected[0] != pytest.approx(expected[1], rel=1e-3)
    assert [step["tokens"] for step in logs] == [2 * 8 + 2 * 5, 2 * 8 + 2 * 1]
    assert [step["examples"] for step in logs] == [2, 2]
    assert logs[0]["learning_rate"] == pytest.approx(0.01)


def test_gradient_norm_is_that_of_the_loss():
    model = tiny("bert", **STILL_BERT)
    batch = tiny_batch(model)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(batch, training=False).loss)
    gradients = tape.gradient(loss, model.trainable_variables)
    dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    expected = float(tf.linalg.global_norm(dense))
    assert fit(model, dataset(batch))[0]["gradient_norm"] == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize(
    ("name", "labels"), [("t5", [[-100] * 5] * 4), ("bert", [-100] * 4)]
)
def test_a_batch_without_labels_counts_nothing(name, labels):
    model = tiny(name, **(STILL_T5 if name == "t5" else STILL_BERT))
    before = model.get_weights()
    logs = fit(model, dataset(with_labels(tiny_batch(model), labels)))
    assert logs[0]["loss"] == 0
    assert logs[0]["gradient_norm"] == 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_may_come_as_a_pair():
    model = tiny("bert", **STILL_BERT)
    batch = tiny_batch(model)
    expected = own_loss(model, batch)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    pairs = tf.data.Dataset.from_tensors((inputs, batch["labels"]))
    assert fit(model, pairs)[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_frozen_weights_stay():
    model = tiny("bert", **BERT)
    frozen = model.bert.embeddings
    frozen.trainable = False
    before = frozen.get_weights()
    logs = fit(model, dataset(tiny_batch(model)))
    for one, other in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert logs[0]["gradient_norm"] > 0


def test_the_step_compiles_whole():
    model = tiny("bert", **STILL_BERT)
    batch = tiny_batch(model)
    expected, before = own_loss(model, batch), model.get_weights()
    logs = fit(model, tf.data.Dataset.from_tensors(batch), jit=True)
    assert logs[0]["loss"] == pytest.approx(expected, rel=1e-5)
    moved = [
        np.abs(one - other).max()
        for one, other in zip(before, model.get_weights(), strict=True)
    ]
    # Adam's first step is the learning rate wherever there is a gradient.
    assert max(moved) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "policy"),
    [("t5", "mixed_bfloat16"), ("bert", "mixed_bfloat16"), ("bert", "mixed_float16")],
)
def test_mixed_precision_trains(name, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = tiny(name, **(STILL_T5 if name == "t5" else STILL_BERT))
        batch = tiny_batch(model)
        logs = fit(model, dataset(*[batch] * 20))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {weight.dtype for weight in model.trainable_weights} == {tf.float32}
    losses = [step["loss"] for step in logs]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


# Virtual devices can be made before TensorFlow starts only.
MIRRORED = """
import numpy as np
from kerastune_llm.backend import keras, tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.strategy import get_strategy
from tests.tiny_models import tiny, tiny_batch
from tests.training.steps import Steps

def train(strategy):
    with strategy.scope():
        model = tiny("t5", num_layers=1, dropout_rate=0.0)
        compile_model(model, build_optimizer("adamw", learning_rate=0.01, clip_norm=1.0,
                                             weight_decay=0.1))
    batch = tiny_batch(model)
    # The replicas get rows with 5, 5 and with 1, 0 labels.
    kept = tf.constant([[5], [5], [1], [0]])
    batch["labels"] = tf.where(tf.range(5) < kept, batch["labels"], -100)
    rows = tf.data.Dataset.from_tensor_slices(batch).repeat(4).batch(4)
    steps = Steps()
    model.fit(rows, callbacks=[steps], verbose=0)
    return steps.logs, model.get_weights()

strategy = get_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
logs, weights = train(strategy)
expected_logs, expected_weights = train(get_strategy("one"))
assert len(logs) == len(expected_logs) == 4
for one, other in zip(logs, expected_logs):
    for name, value in other.items():
        np.testing.assert_allclose(one[name], value, rtol=1e-5, err_msg=name)
for one, other in zip(weights, expected_weights):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.slow
def test_two_replicas_train_as_one():
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
