"""Update rules against PyTorch's optimizers and the formulas of their papers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import tf
from kerastune_llm.registry import OPTIMIZERS
from kerastune_llm.training.update_rules.rule import (
    Pace,
    UpdateRule,
    Weight,
    bias_correction,
)
from tests.reference.runner import run_reference

STEPS, RATE, DECAY = 5, 0.01, 0.1
SHAPES = {"matrix": (4, 3), "vector": (5,)}


def draw() -> dict[str, np.ndarray]:
    """Two weights, and gradients for some steps, of very different sizes."""
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=shape) for name, shape in SHAPES.items()}
    for step in range(STEPS):
        for name, shape in SHAPES.items():
            arrays[f"{name}.{step}"] = generator.normal(size=shape) * 10.0 ** (step - 2)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def run_rule(
    rule: UpdateRule, arrays: dict[str, np.ndarray], name: str
) -> list[np.ndarray]:
    """The weight after each step."""
    value = tf.constant(arrays[name])
    shapes = rule.slots(tuple(value.shape))
    slots = {slot: tf.zeros(shape) for slot, shape in shapes.items()}
    values = []
    for step in range(STEPS):
        weight = Weight(value, tf.constant(arrays[f"{name}.{step}"]), slots)
        pace = Pace(tf.constant(step + 1.0), tf.constant(RATE), DECAY)
        value, slots = rule.update(weight, pace)
        assert {slot: tuple(array.shape) for slot, array in slots.items()} == shapes
        values.append(value.numpy())
    return values


IN_TORCH = {
    "adamw": ("adamw", {}),
    "adam": ("adam", {}),
    "sgd": ("sgd", {}),
    "sgd-nesterov": ("sgd", {"use_nesterov": True}),
    "adafactor": ("adafactor", {}),
    "adafactor-scaled": ("adafactor", {"use_parameter_scale": True, "beta_1": 0.9}),
}


@pytest.fixture(scope="module")
def torch_values(tmp_path_factory) -> dict[str, np.ndarray]:
    folder: Path = tmp_path_factory.mktemp("optimizers")
    np.savez(folder / "inputs.npz", **draw())
    run_reference("optimizers_torch.py", folder / "inputs.npz", folder / "outputs.npz")
    return dict(np.load(folder / "outputs.npz"))


@pytest.mark.interop
@pytest.mark.parametrize("case", sorted(IN_TORCH))
@pytest.mark.parametrize("weight", sorted(SHAPES))
def test_equals_torch(case, weight, torch_values):
    name, hyper = IN_TORCH[case]
    values = run_rule(OPTIMIZERS.get(name)(**hyper), draw(), weight)
    for step, value in enumerate(values):
        expected = torch_values[f"{case}/{weight}.{step}"]
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=2e-7)


def adam_in_float64(
    x: np.ndarray, gradients: list[np.ndarray], epsilon: float
) -> list[np.ndarray]:
    """Directions `m' / (sqrt(v') + epsilon)`, Kingma and Ba 2015, algorithm 1."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    directions = []
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        corrected = np.sqrt(v / (1 - 0.999**t)) + epsilon
        directions.append(m / (1 - 0.9**t) / corrected)
    return directions


def lamb_in_float64(x: np.ndarray, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """You et al. 2020, algorithm 2."""
    values = []
    for r in adam_in_float64(x, gradients, 1e-6):
        u = r + DECAY * x
        x = x - RATE * np.linalg.norm(x) / np.linalg.norm(u) * u
        values.append(x)
    return values


def adamw_in_float64(x: np.ndarray, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Loshchilov and Hutter 2019, algorithm 2."""
    values = []
    for r in adam_in_float64(x, gradients, 1e-8):
        x = x - RATE * DECAY * x - RATE * r
        values.append(x)
    return values


def lion_in_float64(x: np.ndarray, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Chen et al. 2023, algorithm 2."""
    m, values = np.zeros_like(x), []
    for g in gradients:
        c = 0.9 * m + 0.1 * g
        x = x - RATE * (np.sign(c) + DECAY * x)
        m = 0.99 * m + 0.01 * g
        values.append(x)
    return values


@pytest.mark.parametrize("weight", sorted(SHAPES))
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("adamw", adamw_in_float64),
        ("lamb", lamb_in_float64),
        ("lion", lion_in_float64),
    ],
)
def test_equals_the_papers_formula(name, formula, weight):
    arrays = draw()
    gradients = [arrays[f"{weight}.{step}"].astype(float) for step in range(STEPS)]
    expected = formula(arrays[weight].astype(float), gradients)
    values = run_rule(OPTIMIZERS.get(name)(), arrays, weight)
    np.testing.assert_allclose(values, expected, rtol=2e-6, atol=2e-7)


def test_lamb_takes_a_plain_step_where_the_weight_is_zero():
    arrays = {name: np.zeros_like(array) for name, array in draw().items()}
    arrays["vector.0"] = np.ones(5, np.float32)
    first = run_rule(OPTIMIZERS.get("lamb")(), arrays, "vector")[0]
    np.testing.assert_allclose(first, -RATE, rtol=1e-5)


def test_bias_correction_has_no_cancellation():
    for step in (1, 2, 1000, 100_000):
        exact = 1 - 0.999**step
        assert float(bias_correction(0.999, tf.constant(float(step)))) == pytest.approx(
            exact, rel=3e-7
        )
    assert float(bias_correction(0.0, tf.constant(1.0))) == 1


def test_adafactor_remembers_a_row_and_a_column():
    rule = OPTIMIZERS.get("adafactor")()
    assert rule.slots((64, 32)) == {"row": (64,), "column": (32,)}
    assert rule.slots((64,)) == {"square": (64,)}


def test_names_are_listed_without_tensorflow():
    check = (
        "from kerastune_llm.registry import OPTIMIZERS; import sys\n"
        "print(*OPTIMIZERS.names())\n"
        "sys.exit(3 if 'tensorflow' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["adafactor", "adam", "adamw", "lamb", "lion", "sgd"]
