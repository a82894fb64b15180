"""Rates of a mixture against T5's formula, its members, and what is refused."""

import pytest

from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.tasks.mixture import mixing_shares

COUNTS = {"a": 100, "b": 300, "c": 6000}


def shares(rates, cap=600, temperature=2.0):
    return mixing_shares(COUNTS, rates, cap=cap, temperature=temperature)


def test_shares_are_those_of_the_paper():
    # r_m = min(e_m, K) / sum of all; with a temperature r_m^(1/T), T5 section 3.5.2.
    assert shares("proportional") == {"a": 0.1, "b": 0.3, "c": 0.6}
    assert shares("equal") == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert shares("temperature", temperature=1.0) == shares("proportional")
    weights = [100**0.5, 300**0.5, 600**0.5]
    expected = [weight / sum(weights) for weight in weights]
    assert list(shares("temperature").values()) == pytest.approx(expected)
    assert shares({"a": 1, "b": 3, "c": 0}) == {"a": 0.25, "b": 0.75, "c": 0.0}


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"a": 0, "b": 0, "c": 0}, "at least one above it"),
        ({"a": 1, "b": -1, "c": 1}, "must not be below zero"),
        ({"a": 1, "b": 1}, "every task of the mixture"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "and no other"),
    ],
)
def test_weights_refused(rates, message):
    with pytest.raises(UserError, match=message):
        shares(rates)


def configured(tasks="squad,cola", **others):
    values = {"task": "mixture", "mixture": {"tasks": tasks, **others}}
    return configured_task(RunConfig.parse(values))


def test_a_mixture_is_as_long_as_its_longest_task():
    task = configured("squad,cola,stsb")
    assert list(task.members) == ["squad", "cola", "stsb"]
    assert (task.max_input_tokens, task.max_target_tokens) == (512, 32)
    assert task.best_metric == "mean" and not task.has_labels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": "squad,colla"}, "Did you mean cola"),
        ({"tasks": "squad"}, "two or more different tasks"),
        ({"tasks": ""}, "two or more different tasks"),
        ({"tasks": "squad,squad"}, "two or more different tasks"),
        ({"tasks": "squad,custom"}, "cannot be a member"),
        ({"rates": "even"}, "must be proportional, equal, temperature"),
        ({"rates": "squad=many"}, "must be proportional, equal, temperature"),
        ({"temperature": 0}, "greater than 0"),
    ],
)
def test_a_mixture_that_is_wrong(options, message):
    with pytest.raises(UserError, match=message):
        configured(**options)


def test_other_options_and_metrics_are_refused():
    values = {"task": "mixture", "mixture": {"tasks": "squad,cola"}}
    config = RunConfig.parse(values | {"evaluation": {"metric": "squad/f1"}})
    assert configured_task(config).best_metric == "squad/f1"
    config = RunConfig.parse(values | {"evaluation": {"metric": "f1"}})
    with pytest.raises(UserError, match="squad/f1"):
        configured_task(config)
    task = {"name": "mixture", "input_template": "{x}"}
    with pytest.raises(UserError, match="--task.input-template"):
        configured_task(RunConfig.parse(values | {"task": task}))
