"""Train by every method on several virtual devices and compare with one device.

python mirrored_methods.py REPLICAS PRECISION [--rounding] [METHOD ...]

Prints, as a Markdown table, how far what was trained is from that of one device, as a
share of the way that it went, and how far the logits are from its logits, as a share of
them. The one device computes a batch in as many parts as there are replicas. Exits with
1 where something is too far.

In 16 bits gradients are rounded once they are summed over the rows that are computed
together, so that the batch in one piece gives other numbers than in parts, on one
device, too. How far they are from what float32 gives, in one piece and on replicas,
`--rounding` shows.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method, method_callbacks
from kerastune_llm.methods.merge import merge_delta
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.surgery import trainable_names
from kerastune_llm.registry import METHODS
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import computing_in, store_frozen
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.strategy import get_strategy
from tests.methods.test_delta_contract import MERGED
from tests.tiny_models import spread, tiny, tiny_batch, values

OPTIONS = {
    "freeze": {"train": "lm_head"},
    "gradual": {"every": 2, "blocks": 1},
    "last_n": {"blocks": 1},
}
# Sums of float32 in another order, in each precision.
TOLERANCE = 1e-4
# Rounded as often, neither of the two is the better one by much.
TIMES_FURTHER = 1.5
STEPS, ROWS = 3, 6


class Outcome(NamedTuple):
    """What trained, before and after, all in a row; and what the model says then."""

    start: np.ndarray
    end: np.ndarray
    logits: np.ndarray


def train(
    method_name: str, precision: str, *, replicas: int = 1, parts: int = 1
) -> Outcome:
    method = make_method(method_name, OPTIONS.get(method_name, {}))
    # One after the other in this process, as runs in a notebook are.
    strategy = get_strategy("one" if replicas == 1 else "mirrored")
    if strategy.num_replicas_in_sync != replicas:
        sys.exit(f"{strategy.num_replicas_in_sync} replicas instead of {replicas}")
    with computing_in(precision, "t5"):
        with strategy.scope():
            model = spread(tiny("t5-untied", num_layers=1, dropout_rate=0.0), 0.2)
        keras.utils.set_random_seed(3)
        # Outside the scope, as a notebook may do it.
        apply_method(model, method)
        with strategy.scope():
            if precision == "bfloat16":
                store_frozen(model)
            optimizer = build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0)
            compile_model(model, optimizer, accumulate_steps=parts)
        batch = dict(tiny_batch(model, rows=ROWS))
        # Of four replicas, the last has no row: 2, 2, 2 and 0 of 6.
        kept = tf.constant([[5], [1], [4], [0], [2], [5]])
        batch["labels"] = tf.where(tf.range(5) < kept, batch["labels"], -100)
        start = values(model)
        rows = tf.data.Dataset.from_tensor_slices(batch).batch(ROWS).repeat(STEPS)
        model.fit(rows, verbose=0, callbacks=method_callbacks(method, model, STEPS))
        names = sorted(trainable_names(model))
        end = values(model)
        if method_name in MERGED and precision != "bfloat16":
            merge_delta(model)
        logits = tf.cast(model(batch).logits, tf.float32).numpy()
    return Outcome(flat(start, names), flat(end, names), logits)


def flat(found: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    return np.concatenate([found[name].ravel() for name in names])


def distance(one: np.ndarray, other: np.ndarray, unit: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(unit))


def differences(
    method: str, precision: str, replicas: int, *, with_rounding: bool
) -> Iterator[tuple[float, float]]:
    """Each with what it must be below: weights, logits; in one piece and on replicas,
    from float32."""
    several = train(method, precision, replicas=replicas)
    parts = train(method, precision, parts=replicas)
    yield distance(several.end, parts.end, parts.end - parts.start), TOLERANCE
    yield distance(several.logits, parts.logits, parts.logits), TOLERANCE
    if with_rounding:
        exact = train(method, "float32")
        way = exact.end - exact.start
        whole = distance(train(method, precision).end, exact.end, way)
        yield whole, np.inf
        yield distance(several.end, exact.end, way), TIMES_FURTHER * whole + TOLERANCE


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("replicas", type=int)
    parser.add_argument("precision")
    parser.add_argument("methods", nargs="*", default=METHODS.names())
    parser.add_argument("--rounding", action="store_true")
    options = parser.parse_args()
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * options.replicas
    tf.config.set_logical_device_configuration(cpu, devices)
    columns = ["method", "precision", "replicas", "weights", "logits"]
    if options.rounding:
        columns += ["in one piece from float32", "on replicas from float32"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    is_equal = True
    for method in options.methods:
        setting = (options.precision, options.replicas)
        found = [*differences(method, *setting, with_rounding=options.rounding)]
        is_equal &= all(number < limit for number, limit in found)
        cells = [method, *map(str, setting), *(f"{number:.1e}" for number, _ in found)]
        print("| " + " | ".join(cells) + " |", flush=True)
    sys.exit(not is_equal)


if __name__ == "__main__":
    main()
