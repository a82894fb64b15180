"""Train gradually on two virtual devices and compare with one device."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.gradual import Gradual
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch

STEPS = 4


def train(strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    """The weights after two updates of each of two stages, and their moments."""
    method = Gradual(every=2, blocks=2)
    with strategy.scope():
        model = spread(tiny("t5-untied", dropout_rate=0.0), 0.2)
        apply_method(model, method)
        # An epsilon above the rounding of sums, which Adam would blow up.
        optimizer = build_optimizer("adam", learning_rate=0.01, epsilon=1e-3)
        compile_model(model, optimizer)
    callbacks = method.callbacks(model, total_steps=STEPS)
    batches = tf.data.Dataset.from_tensor_slices(tiny_batch(model)).batch(4)
    model.fit(batches.repeat(STEPS), verbose=0, callbacks=callbacks)
    parameters = torch_parameters(model).items()
    values = {name: parameter.to_torch() for name, parameter in parameters}
    return {**values, "updates": optimizer.iterations.numpy()}


def main() -> None:
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, devices)
    two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    one = train(tf.distribute.get_strategy())
    start = spread(tiny("t5-untied", dropout_rate=0.0), 0.2)
    for name, parameter in torch_parameters(start).items():
        if (one[name] == parameter.to_torch()).all():
            raise SystemExit(f"{name} has not moved")
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)


if __name__ == "__main__":
    main()
