"""Schedules against the formulas of transformers' `get_*_schedule_with_warmup`."""

import math

import pytest

from kerastune_llm.backend import keras
from kerastune_llm.errors import UserError
from kerastune_llm.training.schedules import SCHEDULES, build_schedule

TOTAL = 40


def rising(step: int, warmup: int) -> float:
    return step / max(1, warmup)


def linear(step: int, warmup: int) -> float:
    if step < warmup:
        return rising(step, warmup)
    return max(0.0, (TOTAL - step) / max(1, TOTAL - warmup))


def cosine(step: int, warmup: int) -> float:
    if step < warmup:
        return rising(step, warmup)
    progress = (step - warmup) / max(1, TOTAL - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def constant(step: int, warmup: int) -> float:
    return rising(step, warmup) if step < warmup else 1.0


def inverse_sqrt(step: int, warmup: int) -> float:
    if step < warmup:
        return rising(step, warmup)
    timescale = warmup or 10_000
    return 1.0 / math.sqrt((step + timescale - warmup) / timescale)


FORMULAS = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
}


def test_every_schedule_has_a_formula_here():
    assert set(FORMULAS) == set(SCHEDULES)


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("warmup", [0, 1, 7, TOTAL])
def test_equals_the_formula(name, warmup):
    schedule = build_schedule(
        name, learning_rate=3e-4, warmup=warmup, total_steps=TOTAL
    )
    for step in range(TOTAL + 1):
        expected = 3e-4 * FORMULAS[name](step, warmup)
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5, abs=1e-10)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_stays_at_zero_past_the_end(name):
    schedule = build_schedule(name, learning_rate=1.0, warmup=0, total_steps=TOTAL)
    assert float(schedule(TOTAL + 5)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 4), (0.11, 5), (1, 1), (12.0, 12)])
def test_warmup_is_a_fraction_or_steps(warmup, steps):
    schedule = build_schedule(
        "linear", learning_rate=1.0, warmup=warmup, total_steps=TOTAL
    )
    assert schedule.warmup_steps == steps


def test_survives_serialization():
    schedule = build_schedule("cosine", learning_rate=1.0, warmup=5, total_steps=TOTAL)
    again = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    assert again.get_config() == schedule.get_config()
    assert float(again(17)) == float(schedule(17))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "linaer"}, "Unknown schedule. Did you mean linear"),
        ({"learning_rate": 0.0}, "The learning rate must be positive."),
        ({"learning_rate": math.nan}, "The learning rate must be positive."),
        ({"total_steps": 0}, "A run needs at least one update."),
        ({"warmup": -0.1}, "The warmup is neither"),
        ({"warmup": 2.5}, "The warmup is neither"),
        ({"warmup": math.nan}, "The warmup is neither"),
        ({"warmup": TOTAL + 1}, "The warmup is longer than the run"),
    ],
)
def test_refuses(changes, message):
    values = {
        "name": "linear",
        "learning_rate": 1.0,
        "warmup": 0.0,
        "total_steps": TOTAL,
        **changes,
    }
    with pytest.raises(UserError, match=message):
        build_schedule(values.pop("name"), **values)
