"""When checkpoints are written, on real training of a one-weight model."""

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.training.callbacks import completed_steps
from kerastune_llm.training.checkpointing import Checkpoints
from tests.training.one_weight import fit, one_weight


@pytest.mark.parametrize(
    ("every", "evaluated", "expected"),
    [
        (2, (), [2, 4, 6]),
        (4, (3,), [3, 7]),
        ("1h", (3, 7), [3, 7]),
        ("never", (3,), []),
    ],
)
def test_checkpoints_come_every_so_often_and_before_evaluations(
    every, evaluated, expected
):
    saved = []
    model = one_weight()
    checkpoints = Checkpoints(
        lambda batches: saved.append((completed_steps(model), batches)),
        every=every,
        is_evaluated=lambda step: step in evaluated,
    )
    fit(model, steps=7, callbacks=[checkpoints])
    assert saved == [(step, step) for step in expected]


def test_checkpoints_come_by_the_clock():
    saved = []
    model = one_weight()
    checkpoints = Checkpoints(
        saved.append,
        every="25s",
        is_evaluated=lambda _: False,
        clock=lambda: 10.0 * completed_steps(model),
    )
    fit(model, steps=9, callbacks=[checkpoints])
    assert saved == [3, 6, 9]


def test_a_step_is_saved_once():
    saved = []
    model = one_weight()
    checkpoints = Checkpoints(saved.append, every=3, is_evaluated=lambda _: False)
    fit(model, steps=3, callbacks=[checkpoints])
    checkpoints.save_now()
    assert saved == [3]


@pytest.mark.parametrize("every", ["5", "0.5h", "m", "5 m"])
def test_other_intervals_are_refused(every):
    with pytest.raises(UserError, match="90s, 5m, 1h or never"):
        Checkpoints(print, every=every, is_evaluated=lambda _: False)
