"""One training step, and the loss of a whole dataset, both weighted by label tokens."""

import contextlib
import functools
import weakref
from collections.abc import Sequence
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.quick_activations import quick_activations
from kerastune_llm.models.replicas import where_weights_are
from kerastune_llm.models.trunk import call_model
from kerastune_llm.training.accumulation import Batch, accumulate
from kerastune_llm.training.counts import (
    COUNTED,
    IGNORED,
    example_count,
    is_text,
    label_count,
    label_mask,
    token_count,
)
from kerastune_llm.training.dropout import dropout_from
from kerastune_llm.training.execution import use_executions
from kerastune_llm.training.losses import is_label_sets, label_set_losses, loss_of
from kerastune_llm.training.recomputation import block_layers, recomputed

GraphFunction = tf.types.experimental.PolymorphicFunction


def compile_model(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    jit: bool = False,
    accumulate_steps: int = 1,
    steps_per_execution: int = 1,
    seed: int = 0,
    use_recomputation: bool = False,
) -> None:
    """Compile with the model's own loss and `train_step`; then `fit` as usual.

    Args:
        model: A TensorFlow model of transformers, built, the method applied.
        optimizer: Made in the same strategy scope.
        jit: Compile the whole step with XLA.
        accumulate_steps: Parts that a batch is computed in, for less memory.
        steps_per_execution: Updates in one call of TensorFlow, which spares a TPU the
            waits for its host; callbacks are called after the last of them, see
            `CutExecutions`.
        seed: Decides, with the number of the update, what dropout drops.
        use_recomputation: Keep no activations inside the blocks for the backward pass,
            but compute them again.

    Raises:
        UserError: The activations of this architecture cannot be computed again.
    """
    if use_recomputation and jit:
        raise UserError(
            "Gradient checkpointing goes by an order of operations that XLA does not "
            "keep.",
            mend="leave out --runtime.jit or --runtime.gradient-checkpointing",
        )
    if use_recomputation:
        block_layers(model)  # Refused here, not in the middle of a graph.
    model.compile(
        optimizer=optimizer,
        loss=loss_of(model),
        jit_compile=jit,
        steps_per_execution=steps_per_execution,
    )
    if steps_per_execution > 1:
        use_executions(model)
    # Made while `fit` traces the step, its variables would have it traced twice.
    model.optimizer.build(model.trainable_variables)
    step = functools.partial(
        train_step,
        model,
        accumulate_steps=accumulate_steps,
        seed=seed,
        use_recomputation=use_recomputation,
    )
    model.train_step = tf.autograph.experimental.do_not_convert(step)
    # The logs are summed over replicas already; Keras would sum them once more.
    model.distribute_reduction_method = "first"


def train_step(
    model: keras.Model,
    data: Batch,
    *,
    accumulate_steps: int = 1,
    seed: int = 0,
    use_recomputation: bool = False,
) -> dict[str, tf.Tensor]:
    """One update; the logs are this step's own values, not Keras' running means.

    The loss is the sum over the labels of all replicas divided by their number, so it
    does not depend on how rows are split, and a batch without labels counts nothing.

    Args:
        model: A model that went through `compile_model`.
        data: A batch of `build_dataset`: inputs with `labels`, or a pair of the two.
        accumulate_steps: Parts that each replica's rows are computed in.
        seed: Of dropout.
        use_recomputation: Compute activations again in the backward pass.

    Returns:
        Scalars: `loss`, `gradient_norm` (before clipping), `learning_rate`, `tokens`
        (inputs and labels without padding) and `examples`.
    """
    batch = _with_labels(data)
    count = _sum_over_replicas(label_count(batch))
    loss, gradients = _loss_gradients(
        model,
        batch,
        tf.maximum(count, 1.0),
        parts=accumulate_steps,
        seed=seed,
        use_recomputation=use_recomputation,
    )
    # The optimizer sums the gradients of the replicas.
    variables = model.trainable_variables
    model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    logs = {"loss": _sum_over_replicas(loss), **_optimizer_logs(model.optimizer)}
    logs["tokens"] = _sum_over_replicas(token_count(batch))
    logs["examples"] = _sum_over_replicas(example_count(batch))
    return logs


def _loss_gradients(
    model: keras.Model,
    batch: Batch,
    count: tf.Tensor,
    *,
    parts: int,
    seed: int,
    use_recomputation: bool,
) -> tuple[tf.Tensor, Sequence[tf.Tensor | None]]:
    """This replica's share of the loss, divided by `count`, and its gradients."""
    context = tf.distribute.get_replica_context()
    variables, optimizer = model.trainable_variables, model.optimizer

    def of_rows(
        rows: Batch, counts: tf.Tensor | None, part: tf.Tensor | int
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor | None]]:
        numbers = (optimizer.iterations, context.replica_id_in_sync_group, part)
        with contextlib.ExitStack() as within:
            tape = within.enter_context(tf.GradientTape())
            draws = within.enter_context(dropout_from(model, seed, *numbers))
            if use_recomputation:
                within.enter_context(recomputed(model, draws))
            total, _ = loss_sum(model, rows, training=True, rows=counts)
            loss = total / count
        pairs = optimizer.compute_gradients(loss, variables, tape=tape)
        return loss, [gradient for gradient, _ in pairs]

    if parts == 1 and context.num_replicas_in_sync == 1:
        return of_rows(batch, None, 0)
    # Of several replicas, those at the end may have no row of an epoch's last batch.
    return accumulate(of_rows, batch, variables, parts=parts)


def loss_sum(
    model: keras.Model,
    batch: Batch,
    *,
    training: bool,
    rows: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The model's loss summed over labels, and the number of labels.

    Args:
        model: A model whose output has `loss` when it is given `labels`.
        batch: `input_ids` `[batch, length]` and `labels`: `[batch, length]` tokens, or
            `[batch]` classes or values, where -100 marks no label; or float
            `[batch, labels]` of 0 and 1 for label sets; and, where not all rows count,
            `counted` `[batch]` of 0 and 1.
        training: Whether dropout is on.
        rows: Mask `[batch]` of the rows whose labels count; default: all.

    Returns:
        Two float32 scalars; both zero for a batch without labels.
    """
    mask = label_mask(batch, rows)
    batch = {name: value for name, value in batch.items() if name != COUNTED}
    labels = batch["labels"]
    count = tf.reduce_sum(tf.cast(mask, tf.float32))
    if is_label_sets(labels):
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = _outputs(model, inputs, training=training).logits
        losses = label_set_losses(labels, logits)
        return tf.reduce_sum(losses * tf.cast(mask, tf.float32)), count
    if is_text(labels):
        # Transformers' mean over no token is 0/0: give it some, and count none.
        given = tf.where(mask, labels, IGNORED)
        labels = tf.where(count > 0, given, tf.zeros_like(labels))
        loss = _outputs(model, {**batch, "labels": labels}, training=training).loss
        return tf.reduce_mean(tf.cast(loss, tf.float32)) * count, count
    labels = tf.where(mask, labels, tf.zeros_like(labels))
    loss = _outputs(model, {**batch, "labels": labels}, training=training).loss
    losses = tf.reshape(tf.cast(loss, tf.float32), tf.shape(labels))
    return tf.reduce_sum(losses * tf.cast(mask, tf.float32)), count


def _outputs(model: keras.Model, batch: Batch, *, training: bool) -> Any:
    with quick_activations(model):
        return call_model(model, batch, training=training)


def evaluate_loss(model: keras.Model, batches: tf.data.Dataset) -> float:
    """The mean loss per label token (per example for a head), without dropout.

    Args:
        model: The model; it need not be compiled.
        batches: A finite dataset of batches with labels, as `build_dataset` makes.

    Raises:
        UserError: There is no label in the whole dataset.
    """
    # One graph for all lengths, where the dataset says that they vary.
    spec = batches.element_spec
    # Checked out here, because an error inside a graph loses its type.
    _with_labels(spec)
    sums = _compiled_loss_sum(model).get_concrete_function(spec)
    total = count = 0.0
    for data in batches:
        batch_total, batch_count = sums(data).numpy().sum(axis=0)
        total += float(batch_total)
        count += float(batch_count)
    if count == 0:
        raise UserError("There is no label to compute a loss of.")
    return total / count


# A function is traced once a model, not once an evaluation.
_LOSS_SUMS: weakref.WeakKeyDictionary[
    keras.Model, tuple[tuple[int, ...], GraphFunction]
] = weakref.WeakKeyDictionary()


def _compiled_loss_sum(model: keras.Model) -> GraphFunction:
    # A method that wraps or merges layers changes the variables: trace again.
    structure = tuple(id(variable) for variable in model.variables)
    known, function = _LOSS_SUMS.get(model, (None, None))
    if known != structure:
        function = _make_loss_sum(weakref.ref(model))
        _LOSS_SUMS[model] = (structure, function)
    return function


def _make_loss_sum(reference: weakref.ref) -> GraphFunction:
    """A graph of `loss_sum`, `[replicas, 2]`, that does not keep the model alive."""

    def sums(data: Batch | tuple) -> tf.Tensor:
        found = loss_sum(reference(), _with_labels(data), training=False)
        return tf.stack(found)[None]

    strategy = reference().distribute_strategy
    return tf.function(where_weights_are(strategy, sums), autograph=False)


def _with_labels(data: Batch | tuple) -> dict[str, tf.Tensor]:
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise UserError(
            "Sample weights are not supported; the loss is weighted by label tokens.",
            mend="pass (inputs, labels), or leave rows out by labels of -100",
        )
    batch = dict(inputs) if labels is None else {**inputs, "labels": labels}
    if "labels" not in batch:
        raise UserError(
            "The batches have no labels.",
            accepted="a dict with `labels`, or a pair (inputs, labels)",
            received=", ".join(batch),
        )
    return batch


def _sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _optimizer_logs(optimizer: keras.optimizers.Optimizer) -> dict[str, tf.Tensor]:
    """What the optimizer did; a Keras optimizer of the user's own has no norm."""
    # With mixed_float16 Keras wraps the optimizer in a loss scale.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    logs = {"learning_rate": tf.identity(inner.learning_rate)}
    if hasattr(inner, "gradient_norm"):
        logs["gradient_norm"] = tf.identity(inner.gradient_norm)
    return logs
