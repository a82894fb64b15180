"""From a job to a model that trains: compiled, fed and fitted."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.console import console, progress
from kerastune_llm.commands.job import Job, virtual_tokens
from kerastune_llm.commands.memory_limit import memory_guards
from kerastune_llm.commands.resumption import Resumption
from kerastune_llm.commands.splits import Split, StreamedSplit
from kerastune_llm.commands.starting_adapter import put_method
from kerastune_llm.commands.trunk import filled_cache, wanted_trunk
from kerastune_llm.commands.watch import Steps, Watch
from kerastune_llm.config import RunConfig
from kerastune_llm.data.batching import count_steps, width_multiple
from kerastune_llm.data.columns import number_column, token_column
from kerastune_llm.data.pipeline import (
    BatchReport,
    build_dataset,
    describe_batches,
)
from kerastune_llm.errors import UserError
from kerastune_llm.methods.method import Method, StagedMethod
from kerastune_llm.models.compatibility import position_limit
from kerastune_llm.models.head_bias import label_shares
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.surgery import ParameterTable
from kerastune_llm.training.execution import (
    CutExecutions,
    LongerExecutions,
    may_be_longer,
)
from kerastune_llm.training.optimizers import RuleOptimizer, build_optimizer
from kerastune_llm.training.precision import store_frozen
from kerastune_llm.training.schedules import build_schedule
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.trunk_outputs import TrunkOutputs
from kerastune_llm.training.used_rows import special_ids, token_matrix, used_rows
from kerastune_llm.training.workers import own_share

logger = logging.getLogger(__name__)


def planned_steps(config: RunConfig, rows: int) -> Steps:
    """Optimizer updates of a run on that many training rows."""
    optim = config.optim
    per_epoch = count_steps(rows, batch_size=optim.batch_size)
    return Steps(optim.max_steps or optim.epochs * per_epoch, per_epoch)


def compiled_model(
    job: Job,
    method: Method,
    training: Split | StreamedSplit,
    total_steps: int,
    *,
    strategy: tf.distribute.Strategy,
) -> tuple[keras.Model, ParameterTable]:
    """The model with the method applied, ready for `fit`, under the run's strategy."""
    config, optim = job.config, job.config.optim
    is_stored = config.runtime.precision == "bfloat16"
    if is_stored and isinstance(method, StagedMethod):
        raise UserError(
            f"What {config.method.name} freezes trains later in the run, and would in "
            "16 bits.",
            mend="--runtime.precision mixed_bfloat16",
        )
    schedule = build_schedule(
        optim.schedule,
        learning_rate=optim.learning_rate,
        warmup=optim.warmup,
        total_steps=total_steps,
    )
    with strategy.scope():
        model = load_model(
            config.model,
            kind=job.model_kind,
            labels=job.task.labels or None,
            from_scratch=config.from_scratch,
            seed=config.runtime.seed,
            shares=_label_shares(job, training),
        )
        parameters = put_method(model, method, config.adapter, job.tokenizer)
        if is_stored:
            logger.info("%s frozen weights in bfloat16", f"{store_frozen(model):,}")
        optimizer = build_optimizer(
            optim.name,
            learning_rate=schedule,
            weight_decay=optim.weight_decay,
            clip_norm=optim.clip_norm,
        )
        _update_used_rows_alone(optimizer, model, job, training)
        compiled_step(model, config, optim.accumulate_steps, optimizer=optimizer)
    return model, parameters


def _update_used_rows_alone(
    optimizer: RuleOptimizer,
    model: keras.Model,
    job: Job,
    training: Split | StreamedSplit,
) -> None:
    """Leave out the tokens that no training row has; of a stream none is known."""
    matrix = token_matrix(model)
    if matrix is None or isinstance(training, StreamedSplit):
        return
    special = {*job.tokenizer.all_special_ids, *special_ids(model)}
    rows = used_rows(training.tokenised, special=special, rows=matrix.shape[0])
    if rows is not None:
        optimizer.use_rows(matrix, rows)


def compiled_step(
    model: keras.Model,
    config: RunConfig,
    parts: int,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Compile the run's training step for batches in so many parts.

    Args:
        model: Built, the method applied.
        config: The run's.
        parts: Of a batch.
        optimizer: Default: the one that the model was compiled with before.
    """
    compile_model(
        model,
        model.optimizer if optimizer is None else optimizer,
        jit=config.runtime.jit,
        accumulate_steps=parts,
        steps_per_execution=config.runtime.steps_per_execution or 1,
        seed=config.runtime.seed,
        use_recomputation=config.runtime.gradient_checkpointing,
    )


def _label_shares(job: Job, training: Split | StreamedSplit) -> np.ndarray | None:
    """How often each of several labels occurs; not asked of a stream beforehand."""
    if job.as_text or job.task.kind != "multilabel":
        return None
    if isinstance(training, StreamedSplit):
        return None
    return label_shares(number_column(training.tokenised, "labels"))


def fit(
    watch: Watch,
    training: Split | StreamedSplit,
    resumption: Resumption,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Keras' `fit`, from the middle of an epoch where the run goes on there.

    Args:
        watch: Holds the model; its callbacks come first.
        training: The rows.
        resumption: Where the run goes on; the model is there already.
        callbacks: Called after those of `watch`.
    """
    model, steps = watch.model, watch.steps
    if resumption.state:
        watch.restore(resumption.state)
        if resumption.evaluation_due and watch.evaluate_restored():
            return
    if resumption.batches >= steps.total:
        return
    position = divmod(resumption.batches, steps.per_epoch)
    # What `fit` asks for the epoch, and the batch in it, that it begins with.
    model._maybe_load_initial_counters_from_ckpt = lambda *_: position
    _say_batches(watch.job, training)
    trunk = wanted_trunk(watch.job, model)
    watch.keep_trunk(trunk)
    batches = training_batches(
        watch.job,
        training,
        trunk,
        steps=steps.total,
        first_step=resumption.batches,
    )
    config = watch.job.config
    all_callbacks = [*watch.callbacks(), *memory_guards(config), *callbacks]
    at_once = config.runtime.steps_per_execution
    if at_once is None and may_be_longer(model, callbacks):
        left = steps.total - resumption.batches
        all_callbacks.append(LongerExecutions(left, all_callbacks))
    elif at_once is not None and at_once > 1:
        all_callbacks.append(CutExecutions(at_once, all_callbacks))
    model.fit(
        own_share(batches, model.distribute_strategy),
        epochs=steps.epochs,
        steps_per_epoch=steps.per_epoch,
        verbose=0,
        callbacks=all_callbacks,
    )


def epoch_report(job: Job, training: Split | StreamedSplit) -> BatchReport | None:
    """What the batches of an epoch are like; of a stream it is not known beforehand."""
    if isinstance(training, StreamedSplit):
        return None
    return describe_batches(training.tokenised, **_batch_options(job, training))


def _say_batches(job: Job, training: Split | StreamedSplit) -> None:
    """Say how much of an epoch's batches is padding, and how many shapes they have."""
    report = epoch_report(job, training)
    if report is not None:
        console.print(
            f"batches: {report.steps:,} an epoch, {100 * report.padding:.1f} % "
            f"padding, {report.shapes:,} shapes",
            markup=False,
        )


def training_batches(
    job: Job,
    training: Split | StreamedSplit,
    trunk: TrunkOutputs | None,
    *,
    steps: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """A run's batches from a step on, and from the last one on again from there.

    Args:
        job: What is run.
        training: The rows.
        trunk: Whose outputs come with them: `wanted_trunk`.
        steps: Updates of the run.
        first_step: Where it goes on.
    """
    config = job.config
    if isinstance(training, StreamedSplit):
        return training.stream.batches(
            batch_size=config.optim.batch_size,
            first_step=first_step,
            batching=config.data.batching,
            pad_to_multiple_of=_multiple(job, job.max_input_tokens),
        )
    cache = None
    if trunk is not None:
        with progress("frozen trunk, once") as on_batch:
            cache = filled_cache(job, trunk, training, on_batch)
    batches = build_dataset(
        training.tokenised,
        steps=steps,
        first_step=first_step,
        with_rows=cache is not None,
        with_counted=config.data.batching == "fixed",
        **_batch_options(job, training),
    )
    if cache is not None:
        batches = cache.add_to(batches)
    # If there were as many left as an epoch has, Keras would begin with the first one
    # again at the end of an epoch; of an endless dataset it cannot say so.
    return batches.repeat()


def _batch_options(job: Job, training: Split) -> dict[str, Any]:
    """What decides which rows a batch has and how wide it is."""
    config = job.config
    longest = int(token_column(training.tokenised, "input_ids").lengths.max())
    return {
        "tokenizer": job.tokenizer,
        "batch_size": config.optim.batch_size,
        "seed": config.runtime.seed,
        "batching": config.data.batching,
        "max_input_tokens": job.max_input_tokens,
        "max_target_tokens": job.max_target_tokens,
        "pad_to_multiple_of": _multiple(job, longest),
    }


def _multiple(job: Job, longest: int) -> int:
    """What widths are multiples of: with XLA, which compiles each, there are few."""
    config = job.config
    if not config.runtime.jit or config.data.batching == "fixed":
        return 1
    reserved = virtual_tokens(config)
    return width_multiple(
        longest, position_limit(job.model_config, job.tokenizer, reserved)
    )
