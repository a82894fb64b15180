"""Batches for steps, their losses, and a callback that keeps what steps logged."""

from kerastune_llm.backend import keras, tf
from kerastune_llm.training.execution import finished_updates
from tests.tiny_models import tiny_batch


class Steps(keras.callbacks.Callback):
    """`logs` holds one mapping a step."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.logs += [dict(own) for _, own in finished_updates(self.model, logs)]


def dataset(*batches: dict[str, tf.Tensor]) -> tf.data.Dataset:
    """The batches in a dataset with unknown sizes, as `build_dataset` gives."""
    spec = {
        name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
        for name, value in batches[0].items()
    }
    return tf.data.Dataset.from_generator(lambda: batches, output_signature=spec)


def own_loss(model: keras.Model, batch: dict[str, tf.Tensor]) -> float:
    """What transformers computes, without dropout."""
    return float(tf.reduce_mean(model(batch, training=False).loss))


def with_labels(batch: dict, labels: list) -> dict:
    return {**batch, "labels": tf.constant(labels)}


def uneven(model: keras.Model) -> list[dict[str, tf.Tensor]]:
    """Two batches with 5 and 1 label tokens a row."""
    long, short = tiny_batch(model, rows=2), tiny_batch(model, rows=2, seed=9)
    first = tf.range(5) < 1
    return [long, {**short, "labels": tf.where(first, short["labels"], -100)}]
