"""Gradients of a batch, summed over parts that are computed one after the other."""

from collections.abc import Callable, Mapping, Sequence

from kerastune_llm.backend import tf

Batch = Mapping[str, tf.Tensor]
# Of some rows, of which rows count, and of the part's number: the loss and, for each
# variable, the gradient or `None`.
LossGradients = Callable[
    [Batch, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Sequence[tf.Tensor | None]]
]


def accumulate(
    loss_gradients: LossGradients,
    batch: Batch,
    variables: Sequence[tf.Variable],
    *,
    parts: int,
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """The sum of the parts' losses and gradients; memory is that of one part.

    All parts have `ceil(rows / parts)` rows, so that one graph serves them all; the
    last one is filled up with rows that do not count. A batch of few rows has fewer
    parts, one of no rows has none, and zero is its loss.

    Args:
        loss_gradients: Called with one part's rows, a mask `[rows]` of the rows that
            count and the part's number, a scalar.
        batch: Tensors `[rows, ...]`.
        variables: What the gradients are of.
        parts: How many there are at most.

    Returns:
        The loss, float32, and dense gradients, `None` where the loss does not depend
        on the variable.
    """
    rows = tf.shape(next(iter(batch.values())))[0]
    size = tf.maximum(-(-rows // parts), 1)
    is_used = [False] * len(variables)

    def add_part(
        part: tf.Tensor, loss: tf.Tensor, sums: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        places = part * size + tf.range(size)
        # Gathered, not sliced: XLA needs every part to have one shape.
        chosen = tf.minimum(places, rows - 1)
        piece = {name: tf.gather(value, chosen) for name, value in batch.items()}
        part_loss, gradients = loss_gradients(piece, places < rows, part)
        is_used[:] = [gradient is not None for gradient in gradients]
        return part + 1, loss + part_loss, list(map(_add, sums, gradients))

    sums = [tf.zeros(variable.shape, tf.float32) for variable in variables]
    _, loss, sums = tf.while_loop(
        lambda part, *_: part * size < rows,
        add_part,
        [tf.constant(0), tf.constant(0.0), sums],
        # Otherwise TensorFlow starts on the next part's forward pass too early.
        parallel_iterations=1,
        maximum_iterations=parts,
    )
    gradients = [
        tf.cast(total, variable.dtype) if used else None
        for total, variable, used in zip(sums, variables, is_used, strict=True)
    ]
    return loss, gradients


def _add(total: tf.Tensor, gradient: tf.Tensor | None) -> tf.Tensor:
    if gradient is None:
        return total
    return total + tf.cast(tf.convert_to_tensor(gradient), total.dtype)
