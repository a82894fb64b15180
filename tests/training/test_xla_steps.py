"""Every method's steps compile whole under XLA, and compute what graph mode does."""

from collections.abc import Callable

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.registry import METHODS
from kerastune_llm.training.counts import COUNTED
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.static_steps import static_steps
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.xla_check import XlaCheck, check_for_tpu
from tests.conftest import XLA
from tests.tiny_models import spread, tiny, tiny_batch

SHORT = {"t5": {"num_layers": 1}, "bert": {"num_hidden_layers": 1}}
# What a method must be told, of a model of one block.
OPTIONS = {"freeze": {"train": "*.0.*"}, "last_n": {"blocks": 1}}
NEW_TOKENS = 4
# One method whose layers wrap others, and one that changes attention, are quick enough
# to be checked every time.
QUICK = (("t5", "lora"), ("bert", "lora"), ("bert", "prefix"))
# Float32, after two updates.
TOLERANCE = 1e-5


def case(name: str, method: str) -> object:
    is_quick = (name, method) in QUICK
    return pytest.param(name, method, marks=() if is_quick else pytest.mark.long)


each_case = pytest.mark.parametrize(
    ("name", "method"),
    [case(name, method) for name in SHORT for method in METHODS.names()],
)


def made(name: str, method: str, *, use_fused: bool = False) -> keras.Model:
    """A model whose output depends on its input, with dropout, ready to train.

    The large epsilon keeps Adam from making an update out of a gradient's rounding; and
    each of several replicas updates one variable after the other.
    """
    model = spread(tiny(name, **SHORT[name]), 0.2)
    apply_method(model, method, **OPTIONS.get(method, {}))
    optimizer = build_optimizer(
        "adamw", learning_rate=1e-2, clip_norm=1.0, use_fused=use_fused, epsilon=1e-2
    )
    compile_model(model, optimizer)
    return model


def generators(model: keras.Model) -> dict[str, Generator] | None:
    if not model.can_generate():
        return None
    settings = {"max_new_tokens": NEW_TOKENS, "batch_size": 4}
    return {
        "greedy": Generator(model, **settings),
        "beams": Generator(model, num_beams=2, **settings),
    }


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {n: p.variable.numpy() for n, p in torch_parameters(model).items()}


def results(model: keras.Model, parts: int, *, jit: bool) -> tuple[dict, dict]:
    """What each step gives, and its function with its arguments."""
    steps = static_steps(
        model, accumulate_steps=parts, seed=3, generators=generators(model), jit=jit
    )
    batch = {**tiny_batch(model), COUNTED: tf.constant([1, 1, 1, 0])}
    ids = batch["input_ids"], batch["attention_mask"]
    inputs = {n: v for n, v in batch.items() if n not in ("labels", COUNTED)}
    found, calls = {}, {}
    for name, step in steps.items():
        arguments = {"train": (batch,), "evaluate": (batch,), "logits": (inputs,)}
        calls[name] = step, arguments.get(name, ids)
        if name == "train":
            logs = [step(batch) for _ in range(2)]
            found["losses"] = [float(each["loss"]) for each in logs]
            found["norms"] = [float(each["gradient_norm"]) for each in logs]
            found["weights"] = weights(model)
        else:
            outputs = tf.nest.flatten(step(*calls[name][1]))
            found[name] = [output.numpy() for output in outputs]
    return found, calls


def difference(one: object, other: object) -> float:
    pairs = zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    return max(float(np.max(np.abs(np.subtract(a, b)))) for a, b in pairs)


def checked(calls: dict, record: Callable, row: str) -> dict[str, XlaCheck]:
    checks = {name: check_for_tpu(step, *args) for name, (step, args) in calls.items()}
    for name, check in checks.items():
        compiled = "yes" if check.compiles else "no"
        record(XLA, (row, name, f"{compiled}, {check.ops:,}"))
    return checks


@each_case
def test_all_steps_of_a_method_compile_and_agree(name, method, record_property):
    """With dropout, in two parts, in a batch whose last row does not count."""
    in_graph, _ = results(made(name, method), 2, jit=False)
    compiled, calls = results(made(name, method), 2, jit=True)
    row = f"{method}, {name}"
    largest = difference(in_graph, compiled)
    record_property(XLA, (row, "difference", f"{largest:.1e}"))
    for step, check in checked(calls, record_property, row).items():
        assert not check.obstacles, step
        assert check.hlo_lines > 0
    untrained = weights(made(name, method))
    assert difference(untrained, compiled["weights"]) > 1e-3
    for step in in_graph:
        assert difference(in_graph[step], compiled[step]) < TOLERANCE, step


@pytest.mark.parametrize("name", ["bert", pytest.param("t5", marks=pytest.mark.long)])
def test_a_whole_batch_compiles_and_agrees(name):
    in_graph, _ = results(made(name, "lora", use_fused=True), 1, jit=False)
    compiled, calls = results(made(name, "lora", use_fused=True), 1, jit=True)
    assert not check_for_tpu(*calls["train"][:1], *calls["train"][1]).obstacles
    assert difference(in_graph, compiled) < TOLERANCE


def test_in_bfloat16_they_compile_too():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = made("t5", "lora")
        steps = static_steps(model, generators=generators(model))
        assert not check_for_tpu(steps["train"], tiny_batch(model)).obstacles
    finally:
        keras.mixed_precision.set_global_policy("float32")
