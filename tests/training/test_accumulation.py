"""A batch in parts equals the whole batch, also over replicas."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.training.accumulation import accumulate
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from tests.packed_examples import packed, padded
from tests.tiny_models import spread, tiny, tiny_batch
from tests.training.steps import Steps


def of_line(
    rows: dict, counts: tf.Tensor, part: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """The sum of `slope * x` over rows that count; the second variable is unused."""
    counted = tf.where(counts, rows["x"], 0.0)
    return SLOPE * tf.reduce_sum(counted), [tf.reduce_sum(counted), None]


SLOPE, UNUSED = tf.Variable(3.0), tf.Variable(1.0)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 8])
def test_every_row_counts_once(parts, rows):
    batch = {"x": tf.range(1.0, rows + 1.0)}
    run = tf.function(lambda b: accumulate(of_line, b, [SLOPE, UNUSED], parts=parts)[0])
    assert float(run(batch)) == 3 * rows * (rows + 1) / 2
    gradients = tf.function(
        lambda b: accumulate(of_line, b, [SLOPE, UNUSED], parts=parts)[1][0]
    )
    assert float(gradients(batch)) == rows * (rows + 1) / 2


def test_a_variable_without_a_gradient_has_none():
    found = []

    def run() -> None:
        batch = {"x": tf.ones(4)}
        found.extend(accumulate(of_line, batch, [SLOPE, UNUSED], parts=2)[1])

    tf.function(run)()
    used, unused = found
    assert used is not None
    assert unused is None


def test_only_one_part_is_in_memory():
    """The shapes inside the loop are those of a part, and nothing is kept of them."""
    seen = []

    def loss_gradients(rows, counts, part):
        seen.append(rows["x"].shape[0])
        return of_line(rows, counts, part)

    run = tf.function(
        lambda x: accumulate(loss_gradients, {"x": x}, [SLOPE, UNUSED], parts=4)[0],
        jit_compile=True,
    )
    assert float(run(tf.ones(8))) == 24
    loops = [op for op in run.get_concrete_function(tf.ones(8)).graph.get_operations()]
    (loop,) = [op for op in loops if op.type in ("While", "StatelessWhile")]
    assert loop.get_attr("parallel_iterations") == 1


@pytest.mark.parametrize("jit", [False, True])
def test_parts_train_as_the_whole(jit):
    losses, weights = [], []
    for parts in (1, 3):
        model = spread(
            tiny(
                "bert",
                num_hidden_layers=1,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            0.3,
        )
        batch = {**tiny_batch(model, rows=8), "labels": [0, 1, 2, 0, -100, 1, 1, -100]}
        optimizer = build_optimizer("sgd", learning_rate=0.1)
        compile_model(model, optimizer, jit=jit, accumulate_steps=parts)
        steps = Steps()
        data = tf.data.Dataset.from_tensors(batch).repeat(3)
        model.fit(data, callbacks=[steps], verbose=0)
        losses.append([logs["loss"] for logs in steps.logs])
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
        assert [logs["examples"] for logs in steps.logs] == [8] * 3
        assert int(model.optimizer.iterations) == 3
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-6)
    assert losses[0][2] < losses[0][0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "seq2seq"])
@pytest.mark.parametrize("replicas", [1, pytest.param(4, marks=pytest.mark.long)])
def test_every_split_trains_alike(kind, replicas):
    script = Path(__file__).with_name("split_batches.py")
    done = subprocess.run(
        [sys.executable, script, kind, str(replicas)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "replicas"),
    [("classification", 2), pytest.param("seq2seq", 4, marks=pytest.mark.long)],
)
def test_replicas_score_every_row_once(kind, replicas):
    script = Path(__file__).with_name("score_replicas.py")
    done = subprocess.run(
        [sys.executable, script, kind, str(replicas)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_packed_rows_train_as_padded_ones_also_in_parts():
    results = []
    for batch, parts in ((padded(), 1), (packed(), 2)):
        model = spread(tiny("t5", num_layers=1, dropout_rate=0.0), 0.3)
        optimizer = build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0)
        compile_model(model, optimizer, accumulate_steps=parts)
        steps = Steps()
        model.fit(tf.data.Dataset.from_tensors(batch), callbacks=[steps], verbose=0)
        results.append((steps.logs[0], model.get_weights()))
    (logs, weights), (packed_logs, packed_weights) = results
    for name, value in logs.items():
        assert packed_logs[name] == pytest.approx(value, rel=1e-5), name
    assert logs["examples"] == 5
    for one, other in zip(weights, packed_weights, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)
