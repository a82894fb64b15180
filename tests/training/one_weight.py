"""A model of one weight whose loss is its absolute value: training one can foresee.

It goes through the package's own step. From 1, with the learning rate 0.5, its losses
are 1, 0.5, 0, 0, ...: the gradient is the weight's sign.
"""

from collections.abc import Sequence
from types import SimpleNamespace

from kerastune_llm.backend import keras, tf, transformers
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.step import compile_model


class OneWeight(keras.Model):
    """Calls like a classifier of transformers: `labels` in, per-example `loss` out."""

    base_model_prefix = ""

    def __init__(self) -> None:
        super().__init__()
        self.config = transformers.PretrainedConfig()
        self.weight = self.add_weight(
            name="weight", shape=(), initializer="ones", trainable=True
        )

    def call(self, inputs: dict, training: bool = False) -> SimpleNamespace:
        labels = tf.cast(inputs["labels"], self.compute_dtype)
        return SimpleNamespace(loss=tf.abs(self.weight) * labels)

    def can_generate(self) -> bool:
        return False

    def hf_compute_loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return logits


def one_weight(optimizer: keras.optimizers.Optimizer | None = None) -> OneWeight:
    """A compiled OneWeight; by default plain SGD by half steps."""
    model = OneWeight()
    default = build_optimizer("sgd", learning_rate=0.5, momentum=0.0)
    compile_model(model, optimizer or default)
    return model


def fit(
    model: OneWeight,
    *,
    steps: int,
    epochs: int = 1,
    bad_step: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Keras' `fit` on two rows of three tokens a step; the history of its epochs.

    The labels of `bad_step`, counted from 1, are not numbers.
    """

    def batches():
        for step in range(1, steps * epochs + 1):
            label = float("nan") if step == bad_step else 1.0
            yield {"input_ids": [[1, 2, 3]] * 2, "labels": [label] * 2}

    spec = {
        "input_ids": tf.TensorSpec([2, 3], tf.int32),
        "labels": tf.TensorSpec([2], tf.float32),
    }
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    history = model.fit(
        data,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=list(callbacks),
        verbose=0,
    )
    return history.history
