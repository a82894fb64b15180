"""Rows shared out among two virtual devices, against one: a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from kerastune_llm.backend import tf
from kerastune_llm.models.generation import Generator
from kerastune_llm.models.replicas import rows_shared_out
from kerastune_llm.training.step import loss_sum
from tests.tiny_models import spread, tiny, tiny_batch


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = spread(tiny("t5", num_layers=1), 0.2)
    batch = tiny_batch(model)
    generator = Generator(model, max_new_tokens=4, batch_size=4)

    def sums(rows: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.stack(loss_sum(model, rows, training=False))[None]

    of_all, of_each = sums(batch), tf.function(rows_shared_out(strategy, sums))(batch)
    assert of_each.shape == (2, 2), of_each
    np.testing.assert_allclose(tf.reduce_sum(of_each, 0), of_all[0], rtol=1e-5)

    inputs = batch["input_ids"], batch["attention_mask"]
    expected = tf.function(generator.generate)(*inputs)
    shared = tf.function(rows_shared_out(strategy, generator.generate))(*inputs)
    np.testing.assert_array_equal(shared, expected)
    assert len(np.unique(expected, axis=0)) > 1, "all rows have one answer"


if __name__ == "__main__":
    main()
