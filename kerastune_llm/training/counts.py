"""How many labels, tokens and examples of a batch count."""

from kerastune_llm.backend import tf
from kerastune_llm.models.packed import count_examples, is_packed
from kerastune_llm.training.accumulation import Batch
from kerastune_llm.training.losses import is_label_sets

IGNORED = -100
# In a batch, which of its rows count: those that only fill it up do not.
COUNTED = "counted"


def is_text(labels: tf.Tensor) -> bool:
    """Whether labels are tokens `[batch, length]`."""
    return labels.dtype.is_integer and labels.shape.rank == 2


def label_mask(batch: Batch, rows: tf.Tensor | None = None) -> tf.Tensor:
    """Which labels count: bool, of the labels' shape, or `[batch]` for label sets.

    Args:
        batch: With `labels` and, where not all rows count, `counted`.
        rows: Mask `[batch]` of the rows that count besides; default: all.
    """
    labels = batch["labels"]
    if is_label_sets(labels):
        # One loss a row.
        labels = labels[:, 0]
    mask = tf.ones_like(labels, tf.bool)
    if labels.dtype.is_integer:
        mask = labels != IGNORED
    for of_rows in (rows, batch.get(COUNTED)):
        if of_rows is not None:
            of_rows = tf.cast(of_rows, tf.bool)
            mask &= of_rows if labels.shape.rank == 1 else of_rows[:, None]
    return mask


def label_count(batch: Batch) -> tf.Tensor:
    """Label tokens, or rows for a head."""
    return tf.reduce_sum(tf.cast(label_mask(batch), tf.float32))


def token_count(batch: Batch) -> tf.Tensor:
    """Tokens of inputs and labels that are no padding, of the rows that count."""
    mask = batch.get("attention_mask", tf.ones_like(batch["input_ids"]))
    if COUNTED in batch:
        mask *= batch[COUNTED][:, None]
    count = tf.math.count_nonzero(mask, dtype=tf.int32)
    if is_text(batch["labels"]):
        count += tf.math.count_nonzero(label_mask(batch), dtype=tf.int32)
    return count


def example_count(batch: Batch) -> tf.Tensor:
    """Rows that count, or the examples that are packed into them."""
    if is_packed(batch):
        return count_examples(batch)
    if COUNTED in batch:
        return tf.reduce_sum(batch[COUNTED])
    return tf.shape(batch["labels"])[0]
