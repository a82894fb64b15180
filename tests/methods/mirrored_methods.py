"""Train by every method on several virtual devices and compare with one device.

python mirrored_methods.py REPLICAS PRECISION [METHOD ...]

Prints, as a Markdown table, how far the trained weights are from those of one device,
as a share of the way that they went; exits with 1 where that is too far.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method, method_callbacks
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.surgery import trainable_names
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.registry import METHODS
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.strategy import get_strategy
from tests.tiny_models import spread, tiny, tiny_batch

OPTIONS = {
    "freeze": {"train": "lm_head"},
    "gradual": {"every": 2, "blocks": 1},
    "last_n": {"blocks": 1},
}
# In bfloat16 each replica rounds its own sum of gradients, by up to 2 ** -8.
TOLERANCES = {"float32": 1e-4, "mixed_bfloat16": 3e-2}
STEPS, ROWS = 3, 6


def train(method_name: str, replicas: int) -> tuple[np.ndarray, np.ndarray, int]:
    """What trains before and after three updates, in a row; how many replicas did."""
    method = make_method(method_name, OPTIONS.get(method_name, {}))
    # One after the other in this process, as runs in a notebook are.
    strategy = get_strategy("one" if replicas == 1 else "mirrored")
    with strategy.scope():
        model = spread(tiny("t5-untied", num_layers=1, dropout_rate=0.0), 0.2)
    keras.utils.set_random_seed(3)
    # Outside the scope, as a notebook may do it.
    apply_method(model, method)
    with strategy.scope():
        optimizer = build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0)
        compile_model(model, optimizer)
    batch = dict(tiny_batch(model, rows=ROWS))
    # Of four replicas, the last has no row: 2, 2, 2 and 0 of 6.
    kept = tf.constant([[5], [1], [4], [0], [2], [5]])
    batch["labels"] = tf.where(tf.range(5) < kept, batch["labels"], -100)
    start = values(model)
    rows = tf.data.Dataset.from_tensor_slices(batch).batch(ROWS).repeat(STEPS)
    model.fit(rows, verbose=0, callbacks=method_callbacks(method, model, STEPS))
    names = sorted(trainable_names(model))
    end = values(model)
    return flat(start, names), flat(end, names), strategy.num_replicas_in_sync


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: p.to_torch().copy() for name, p in torch_parameters(model).items()}


def flat(found: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    return np.concatenate([found[name].ravel() for name in names])


def main() -> None:
    replicas, precision = int(sys.argv[1]), sys.argv[2]
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(cpu, devices)
    keras.mixed_precision.set_global_policy(precision)
    print("| method | precision | replicas | difference |\n|---|---|---|---|")
    is_equal = True
    for method in sys.argv[3:] or METHODS.names():
        start, one, _ = train(method, 1)
        _, several, count = train(method, replicas)
        difference = np.linalg.norm(several - one) / np.linalg.norm(one - start)
        is_equal &= count == replicas and difference < TOLERANCES[precision]
        line = f"| {method} | {precision} | {count} | {difference:.1e} |"
        print(line, flush=True)
    sys.exit(not is_equal)


if __name__ == "__main__":
    main()
