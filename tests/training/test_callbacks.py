"""Callbacks on real training of a one-weight model, whose losses are known."""

import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import (
    Evaluate,
    KeepBest,
    MetricsLog,
    StopOnNaN,
    TrainingDiverged,
    completed_steps,
)
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.progress import Progress
from kerastune_llm.training.tensorboard import TensorBoardLog, markdown_table
from tests.training.one_weight import fit, one_weight


def test_metrics_log_writes_first_and_every():
    records = []
    log = MetricsLog(records.append, every=2, steps_per_epoch=4)
    fit(one_weight(), steps=5, callbacks=[log])
    assert [record["step"] for record in records] == [1, 2, 4]
    assert [record["epoch"] for record in records] == [0.25, 0.5, 1.0]
    # The weight starts at 1 and goes to 0 by half steps: loss = |weight|.
    assert [record["loss"] for record in records] == [1.0, 0.5, 0.0]
    for record in records:
        assert record["gradient_norm"] in (0, 1)
        assert record["learning_rate"] == 0.5
        # Two rows of three tokens: the rates stand in the ratio of the counts.
        rate = record["tokens_per_second"] / record["examples_per_second"]
        assert rate == pytest.approx(3)
        assert record["examples_per_second"] > 0
        json.dumps(record)


def test_metrics_log_goes_on_from_a_resumed_step():
    records = []
    model = one_weight()
    model.optimizer.iterations.assign(100)
    fit(
        model,
        steps=2,
        callbacks=[MetricsLog(records.append, every=1, steps_per_epoch=50)],
    )
    assert [(r["step"], r["epoch"]) for r in records] == [(101, 2.02), (102, 2.04)]


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [
        ("epoch", 2, [3, 6]),
        (2, 2, [2, 4, 6]),
        (4, 2, [4, 6]),
        (10, 1, [3]),
    ],
)
def test_evaluates_every_so_often_and_at_the_end(every, epochs, expected):
    seen = []
    model = one_weight()
    evaluate = Evaluate(
        lambda: {"score": float(completed_steps(model))},
        [lambda step, metrics: seen.append((step, metrics["score"]))],
        every=every,
        steps_per_epoch=3,
    )
    history = fit(model, steps=3, epochs=epochs, callbacks=[evaluate])
    assert seen == [(step, float(step)) for step in expected]
    if every == "epoch":
        assert history["val_score"] == [3.0, 6.0]


def test_evaluates_the_last_update_where_an_epoch_is_cut_short():
    seen = []

    class StopAtFour(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if completed_steps(self.model) == 4:
                self.model.stop_training = True

    evaluate = Evaluate(
        lambda: {"score": 1.0},
        [lambda step, _: seen.append(step)],
        steps_per_epoch=3,
        total_steps=4,
    )
    fit(one_weight(), steps=3, epochs=2, callbacks=[StopAtFour(), evaluate])
    assert seen == [3, 4]


@pytest.mark.parametrize("every", [0, -1, "epochs", 1.5])
def test_evaluate_refuses(every):
    with pytest.raises(UserError, match="every epoch or every so many updates"):
        Evaluate(dict, every=every, steps_per_epoch=3)


@pytest.mark.parametrize(
    ("metric", "values", "saved", "last"),
    [
        ("f1", [0.1, 0.3, 0.3, 0.2, 0.9], [1, 2], 4),
        ("loss", [3.0, 2.0, 2.5, 1.0, 1.5, 1.0], [1, 2, 4], 6),
        ("f1", [math.nan, 0.1, math.nan, 0.05, 0.9], [1, 2], 4),
        ("f1", [0.1, 0.2, 0.3], [1, 2, 3], 3),
    ],
)
def test_keeps_the_best_and_stops_by_patience(metric, values, saved, last):
    model, saves = one_weight(), []
    keep = KeepBest(metric, lambda: saves.append(completed_steps(model)), patience=2)
    left = iter(values)
    evaluate = Evaluate(
        lambda: {metric: next(left)}, [keep.on_evaluation], every=1, steps_per_epoch=9
    )
    fit(model, steps=len(values), callbacks=[evaluate])
    assert saves == saved
    assert keep.best_step == saved[-1]
    assert keep.best_metrics == {metric: values[saved[-1] - 1]}
    assert completed_steps(model) == last


def test_keep_best_names_the_metric_that_is_not_there():
    keep = KeepBest("exact_mach", lambda: None)
    with pytest.raises(UserError, match="Did you mean exact_match"):
        keep.on_evaluation(1, {"exact_match": 1.0, "f1": 1.0})


def test_stops_at_the_first_loss_that_is_no_number():
    model = one_weight()
    records = []
    log = MetricsLog(records.append, every=1, steps_per_epoch=9)
    with pytest.raises(TrainingDiverged) as caught:
        fit(model, steps=9, bad_step=3, callbacks=[StopOnNaN(), log])
    message = str(caught.value)
    assert "The loss is nan at step 3, with the learning rate 0.5" in message
    for advice in ("--optim.learning-rate", "--optim.clip-norm", "mixed_bfloat16"):
        assert advice in message
    assert [record["step"] for record in records] == [1, 2]


def read_events(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_has_every_curve_and_the_panel(tmp_path):
    rows = [{"input": "in | put", "prediction": "out", "references": ["a", "b"]}]
    board = TensorBoardLog(tmp_path, every=2, steps_per_epoch=4, samples=lambda: rows)
    evaluate = Evaluate(
        lambda: {"f1": 0.5, "loss": 2.0},
        [board.on_evaluation],
        every=4,
        steps_per_epoch=4,
    )
    fit(one_weight(), steps=4, callbacks=[board, evaluate])
    events = read_events(tmp_path)
    curves = {
        tag: [
            (event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
        if tag != "predictions"
    }
    assert set(curves) == {
        "train/loss",
        "train/learning_rate",
        "train/gradient_norm",
        "train/examples_per_second",
        "train/tokens_per_second",
        "evaluation/f1",
        "evaluation/loss",
    }
    assert curves["train/loss"] == [(1, 1.0), (2, 0.5), (4, 0.0)]
    assert curves["evaluation/f1"] == [(4, 0.5)]
    panel = events.Tensors("predictions")[0]
    assert panel.step == 4
    text = tf.make_ndarray(panel.tensor_proto).item().decode()
    assert "| in \\| put | out | a / b |" in text


def test_long_texts_are_cut_in_the_panel():
    row = {"input": "a\nb " * 50, "prediction": "", "references": []}
    line = markdown_table([row], width=10).splitlines()[-1]
    assert line == "| a b a b a… |  |  |"


def test_progress_writes_a_line_each_tenth_into_a_file(tmp_path):
    from rich.console import Console

    with open(tmp_path / "log.txt", "w") as file:
        progress = Progress(20, Console(file=file, width=200))
        fit(one_weight(), steps=20, callbacks=[progress])
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("step 2/20, loss 0.9500, 0:00:")
    assert lines[-1].startswith("step 20/20, loss ")
    assert lines[-1].endswith("0:00:00 left")


def test_progress_draws_a_bar_on_a_terminal(tmp_path):
    from rich.console import Console

    with open(tmp_path / "log.txt", "w") as file:
        console = Console(file=file, width=100, force_terminal=True, color_system=None)
        progress = Progress(3, console)
        fit(one_weight(), steps=3, callbacks=[progress])
    shown = (tmp_path / "log.txt").read_text()
    assert "3/3" in shown
    assert "loss 0." in shown


def test_a_keras_optimizer_has_no_gradient_norm():
    records = []
    model = one_weight(keras.optimizers.SGD(0.5))
    log = MetricsLog(records.append, every=1, steps_per_epoch=9)
    fit(model, steps=1, callbacks=[log])
    assert "gradient_norm" not in records[0]
    assert records[0]["learning_rate"] == 0.5


def test_one_weight_is_what_the_tests_above_say():
    model = one_weight(build_optimizer("sgd", learning_rate=0.25, momentum=0.0))
    fit(model, steps=2)
    assert float(model.weight) == 0.5
