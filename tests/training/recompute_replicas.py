"""Train on two virtual devices with and without recomputation; compare the losses."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from kerastune_llm.backend import tf
from tests.training.test_recomputation import losses


def main() -> None:
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, devices)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    kept = losses(two)
    again = losses(two, use_recomputation=True)
    np.testing.assert_allclose(again, kept, rtol=1e-5)


if __name__ == "__main__":
    main()
