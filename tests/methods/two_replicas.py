"""Train a delta method on two virtual devices and compare with one device.

python two_replicas.py METHOD [merge]
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import keras, tf
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.merge import merge_delta
from kerastune_llm.models.layout import layout_of
from kerastune_llm.models.torch_layout import torch_parameters
from kerastune_llm.training.step import compile_model
from tests.tiny_models import spread, tiny, tiny_batch


def train(strategy: tf.distribute.Strategy, method: str) -> dict[str, np.ndarray]:
    """The change and the logits after two steps; it is applied outside the scope."""
    with strategy.scope():
        model = spread(tiny("t5", dropout_rate=0.0), 0.2)
    keras.utils.set_random_seed(3)
    apply_method(model, method)
    with strategy.scope():
        compile_model(model, keras.optimizers.SGD(0.1))
    batch = tiny_batch(model)
    model.fit(tf.data.Dataset.from_tensor_slices(batch).batch(4), epochs=2, verbose=0)
    delta = layout_of(model).part("delta")
    values = {n: torch_parameters(model)[n].to_torch() for n in delta}
    if "merge" in sys.argv:
        merge_delta(model)
    return {**values, "logits": model(batch).logits.numpy()}


def main() -> None:
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, devices)
    two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), sys.argv[1])
    one = train(tf.distribute.get_strategy(), sys.argv[1])
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)


if __name__ == "__main__":
    main()
