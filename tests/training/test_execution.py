"""Several updates in one execution: nothing about a run depends on it."""

import itertools

import pytest

from kerastune_llm.backend import keras
from kerastune_llm.models.thawing import Thaw
from kerastune_llm.training.callbacks import (
    Evaluate,
    MetricsLog,
    StopOnNaN,
    TrainingDiverged,
    completed_steps,
)
from kerastune_llm.training.checkpointing import Checkpoints
from kerastune_llm.training.execution import (
    CutExecutions,
    LongerExecutions,
    finished_updates,
    may_be_longer,
)
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from tests.training.one_weight import OneWeight, fit, one_weight


class Executions(keras.callbacks.Callback):
    """`sizes` holds how many updates each execution had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.sizes.append(len(finished_updates(self.model, logs)))


def several(steps: int, *, jit: bool = False) -> OneWeight:
    model = OneWeight()
    optimizer = build_optimizer("sgd", learning_rate=0.1, momentum=0.0)
    compile_model(model, optimizer, jit=jit, steps_per_execution=steps)
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_every_update_is_logged_with_its_own_values(jit):
    """The weight, and so the loss, goes from 1 down by 0.1 at every update."""
    records = []
    log = MetricsLog(records.append, steps_per_epoch=5)
    executions = Executions()
    history = fit(several(4, jit=jit), steps=5, epochs=2, callbacks=[log, executions])
    assert [record["step"] for record in records] == list(range(1, 11))
    expected = [1 - 0.1 * step for step in range(10)]
    assert [record["loss"] for record in records] == pytest.approx(expected)
    assert all(record["examples_per_second"] > 0 for record in records)
    # An epoch's last execution is cut short; Keras logs the last update.
    assert executions.sizes == [4, 1, 4, 1]
    assert history["loss"] == pytest.approx([expected[4], expected[9]])


def test_an_execution_ends_where_a_callback_is_due():
    evaluated, saved = [], []
    model = several(4)
    evaluate = Evaluate(
        lambda: evaluated.append(completed_steps(model)) or {"loss": 0.0},
        every=3,
        steps_per_epoch=7,
        total_steps=14,
    )
    checkpoints = Checkpoints(
        lambda batches: saved.append((completed_steps(model), batches)),
        every=5,
        is_evaluated=evaluate.is_due,
    )
    callbacks = [checkpoints, evaluate]
    callbacks += [executions := Executions(), CutExecutions(4, callbacks)]
    fit(model, steps=7, epochs=2, callbacks=callbacks)
    assert evaluated == [3, 6, 9, 12, 14]
    # Counted from the last one, which comes with every evaluation.
    assert saved == [(step, step) for step in evaluated]
    assert executions.sizes == [3, 3, 1, 2, 3, 2]
    assert int(model.steps_per_execution.numpy()) == 4


def test_checkpoints_between_evaluations_come_after_their_update():
    saved = []
    model = several(8)
    checkpoints = Checkpoints(saved.append, every=5, is_evaluated=lambda step: False)
    fit(model, steps=12, callbacks=[checkpoints, CutExecutions(8, [checkpoints])])
    assert saved == [5, 10]


def test_more_thaws_after_its_own_update():
    thaw = Thaw([frozenset(), frozenset(), frozenset()], every=4)
    assert [thaw.next_due(step) for step in (0, 3, 4, 8, 9)] == [4, 4, 8, None, None]


def test_the_update_that_diverged_is_named():
    with pytest.raises(TrainingDiverged, match="nan at step 2"):
        fit(several(4), steps=4, bad_step=2, callbacks=[StopOnNaN()])


def test_one_step_is_keras_own():
    model = one_weight()
    executions = Executions()
    fit(model, steps=3, callbacks=[executions])
    assert executions.sizes == [1, 1, 1]
    assert not hasattr(model.train_function, "updates")


def clock(durations):
    """A clock by which updates take these seconds, all others the last of them."""
    times = itertools.chain(durations, itertools.repeat(durations[-1]))
    now = 0.0
    while True:
        yield now
        now += next(times)
        yield now


@pytest.mark.parametrize(
    ("durations", "size"),
    [
        ([0.03, 0.008], 12),
        ([0.03, 0.0001], 64),
        ([0.03, 0.06], 1),
        # Tracing the step again takes longer than it spares.
        ([3.0, 0.008], 1),
    ],
)
def test_short_updates_go_together_where_that_is_worth_it(durations, size):
    records, executions = [], Executions()
    log = MetricsLog(records.append, steps_per_epoch=200)
    longer = LongerExecutions(200, [log], clock=clock(durations).__next__)
    fit(one_weight(), steps=200, callbacks=[log, executions, longer])
    assert executions.sizes[:11] == [1] * 11
    assert executions.sizes[11] == size
    assert [record["step"] for record in records] == list(range(1, 201))


def test_a_callback_of_the_user_s_own_is_called_after_every_update():
    model = one_weight()
    assert may_be_longer(model, [Thaw([frozenset()], every=4)])
    assert may_be_longer(model, [keras.callbacks.TerminateOnNaN()]) is False
    assert may_be_longer(model, [keras.callbacks.CSVLogger("epochs.csv")])
