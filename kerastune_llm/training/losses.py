"""The loss that transformers has in PyTorch only: several labels to a row."""

from collections.abc import Callable

from kerastune_llm.backend import keras, tf


def is_label_sets(labels: tf.Tensor) -> bool:
    """Whether labels are 0 or 1 for each label, float `[batch, labels]`."""
    return labels.dtype.is_floating and labels.shape.rank == 2


def label_set_losses(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over the labels of each row's binary cross-entropies.

    Its mean over rows is PyTorch's `BCEWithLogitsLoss`.

    Args:
        labels: 0 or 1, float32 `[batch, labels]`.
        logits: `[batch, labels]`.

    Returns:
        float32 `[batch]`.
    """
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses, axis=-1)


def loss_of(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss `(labels, logits)` for Keras' `compile`, by the model's problem type."""
    if model.config.problem_type == "multi_label_classification":
        return label_set_losses
    return model.hf_compute_loss
