"""`kerastune train`: from a configuration to a run directory."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.console import (
    console,
    logging_to,
    show_table,
)
from kerastune_llm.commands.finish import begin_run, finish_run, say_what_next
from kerastune_llm.commands.job import (
    Job,
    assemble,
    with_bundled_settings,
    with_learning_rate,
)
from kerastune_llm.commands.parameters import show_parameters
from kerastune_llm.commands.saved import save_trained
from kerastune_llm.commands.splits import Split, load_splits, say_truncation
from kerastune_llm.commands.starting_adapter import put_method, with_method_of_adapter
from kerastune_llm.commands.watch import Steps, Watch
from kerastune_llm.config import RunConfig
from kerastune_llm.data.batching import count_steps
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.methods.apply import method_callbacks
from kerastune_llm.methods.method import Method, make_method
from kerastune_llm.models.loading import load_model
from kerastune_llm.models.sources import resolve_source
from kerastune_llm.models.stored_tensors import find_tensors
from kerastune_llm.models.surgery import ParameterTable
from kerastune_llm.rundir import RunDir, new_run_path
from kerastune_llm.training.callbacks import completed_steps
from kerastune_llm.training.interrupt import graceful_interrupt
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import set_precision
from kerastune_llm.training.schedules import build_schedule
from kerastune_llm.training.seed import seed_everything
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.strategy import get_strategy


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        run: The run directory.
        metrics: Validation metrics of the saved model; empty without validation rows.
        interrupted: Whether Ctrl-C or SIGTERM ended it early.
    """

    run: Path
    metrics: dict[str, float]
    interrupted: bool


def train(
    config: RunConfig | Mapping[str, Any],
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainResult:
    """Fine-tune a model and write a run directory.

    Args:
        config: A RunConfig, or its nested values such as `{"task": "squad"}`.
        callbacks: Keras callbacks of your own, called after the package's.

    Raises:
        UserError: Something is wrong with the configuration or the data.
        TrainingDiverged: The loss is no longer a number.
    """
    if not isinstance(config, RunConfig):
        config = RunConfig.parse(config)
    config = with_method_of_adapter(config)
    method = make_method(config.method.name, config.method.options)
    run = RunDir.create(
        config.output
        or new_run_path(config.task.name, Path(config.model).name, config.method.name)
    )
    with contextlib.ExitStack() as at_end:
        at_end.callback(run.discard_unbegun)
        at_end.enter_context(logging_to(run.log))
        config = with_learning_rate(with_bundled_settings(config))
        seed_everything(config.runtime.seed)
        job = assemble(config)
        model_type = job.model_config.model_type
        set_precision(config.runtime.precision, model_type)
        at_end.callback(set_precision, "float32", model_type)
        if not config.from_scratch:
            # Reads headers only: no row is read for a model without weights.
            find_tensors(resolve_source(config.model))
        job, training, validation = load_splits(job)
        say_truncation("training", training)
        say_truncation("validation", validation)

        steps = _count_steps(config, len(training.rows))
        model, parameters = _compiled_model(job, method, steps.total)
        show_parameters(parameters)
        begin_run(run, job)

        watch = Watch(run, job, model, validation, steps)
        of_method = method_callbacks(method, model, steps.total)
        with graceful_interrupt() as interrupt, contextlib.closing(watch):
            model.fit(
                _batches(job, training, steps.total),
                epochs=steps.epochs,
                steps_per_epoch=steps.per_epoch,
                verbose=0,
                callbacks=[*watch.callbacks(), *of_method, *callbacks, interrupt],
            )
        if interrupt.requested:
            return _interrupted(run, watch)
        return _finished(run, job, watch, parameters, len(training.rows))


def _count_steps(config: RunConfig, rows: int) -> Steps:
    optim = config.optim
    per_epoch = count_steps(rows, batch_size=optim.batch_size)
    return Steps(optim.max_steps or optim.epochs * per_epoch, per_epoch)


def _compiled_model(
    job: Job, method: Method, total_steps: int
) -> tuple[keras.Model, ParameterTable]:
    """The model with the method applied, ready for `fit`, under the run's strategy."""
    config, optim = job.config, job.config.optim
    schedule = build_schedule(
        optim.schedule,
        learning_rate=optim.learning_rate,
        warmup=optim.warmup,
        total_steps=total_steps,
    )
    with get_strategy(config.runtime.strategy).scope():
        model = load_model(
            config.model,
            kind=job.model_kind,
            labels=job.task.labels or None,
            from_scratch=config.from_scratch,
            seed=config.runtime.seed,
        )
        parameters = put_method(model, method, config.adapter)
        optimizer = build_optimizer(
            optim.name,
            learning_rate=schedule,
            weight_decay=optim.weight_decay,
            clip_norm=optim.clip_norm,
        )
        compile_model(
            model,
            optimizer,
            jit=config.runtime.jit,
            accumulate_steps=optim.accumulate_steps,
            seed=config.runtime.seed,
        )
    return model, parameters


def _batches(job: Job, training: Split, total_steps: int) -> tf.data.Dataset:
    config = job.config
    return build_dataset(
        training.tokenised,
        tokenizer=job.tokenizer,
        batch_size=config.optim.batch_size,
        steps=total_steps,
        seed=config.runtime.seed,
        batching=config.data.batching,
        max_input_tokens=job.max_input_tokens,
        max_target_tokens=job.max_target_tokens,
    )


def _finished(
    run: RunDir,
    job: Job,
    watch: Watch,
    parameters: ParameterTable,
    training_rows: int,
) -> TrainResult:
    if watch.best is None:
        watch.save_model()
    facts = {
        "trainable": parameters.trainable,
        "total": parameters.total,
        "percent": parameters.percent,
        "training_rows": training_rows,
        "steps": completed_steps(watch.model),
    }
    finish_run(run, job, watch.best, facts)
    metrics = watch.best.metrics if watch.best else {}
    if metrics:
        show_table("validation", ["metric", "value"], metrics.items())
    say_what_next(run, job)
    return TrainResult(run.path, metrics, interrupted=False)


def _interrupted(run: RunDir, watch: Watch) -> TrainResult:
    """Save what there is: the best model stays, the weights of now stand beside it."""
    if watch.best is None:
        watch.save_model()
        console.print(f"interrupted; the weights of now are in {run.trained}")
        return TrainResult(run.path, {}, interrupted=True)
    last = run.checkpoints / "last"
    save_trained(watch.model, watch.job, whole=last)
    console.print(f"interrupted; the best is in {run.trained}, the last in {last}")
    return TrainResult(run.path, watch.best.metrics, interrupted=True)
