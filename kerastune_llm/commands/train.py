"""`kerastune train`: from a configuration to a run directory."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.commands.auto_batch import (
    out_of_memory_explained,
    with_fitting_parts,
)
from kerastune_llm.commands.child_process import own_peak_memory
from kerastune_llm.commands.config_changes import changed_config, say_changes
from kerastune_llm.commands.console import (
    console,
    logging_to,
    show_table,
)
from kerastune_llm.commands.finish import begin_run, finish_run, say_what_next
from kerastune_llm.commands.fitting import compiled_model, fit, planned_steps
from kerastune_llm.commands.job import Job
from kerastune_llm.commands.loaded_job import loaded_job
from kerastune_llm.commands.own_folder import own_folder
from kerastune_llm.commands.parameters import show_parameters
from kerastune_llm.commands.resumption import (
    Resumption,
    find_resumption,
    forget_repeated,
    take_up,
)
from kerastune_llm.commands.starting_adapter import with_method_of_adapter
from kerastune_llm.commands.tpu_settings import with_settings
from kerastune_llm.commands.watch import Watch
from kerastune_llm.config import RunConfig
from kerastune_llm.errors import UserError
from kerastune_llm.methods.apply import method_callbacks
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.surgery import ParameterTable
from kerastune_llm.rundir import RunDir, new_run_path
from kerastune_llm.training.callbacks import completed_steps
from kerastune_llm.training.interrupt import StoppedAtOnce, graceful_interrupt
from kerastune_llm.training.model_state import frozen_fingerprint
from kerastune_llm.training.strategy import get_strategy
from kerastune_llm.training.workers import Workers, losing_workers


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        run: The run directory, or its address.
        metrics: Validation metrics of the saved model; empty without validation rows.
        interrupted: Whether Ctrl-C or SIGTERM ended it early.
    """

    run: Path | str
    metrics: dict[str, float]
    interrupted: bool


def train(
    config: RunConfig | Mapping[str, Any],
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: bool = False,
) -> TrainResult:
    """Fine-tune a model and write a run directory.

    Args:
        config: A RunConfig, or its nested values such as `{"task": "squad"}`.
        callbacks: Keras callbacks of your own, called after the package's.
        resume: Go on with the run in `output`, if one was begun there.

    Raises:
        UserError: Something is wrong with the configuration or the data.
        TrainingDiverged: The loss is no longer a number.
    """
    if not isinstance(config, RunConfig):
        config = RunConfig.parse(config)
    if resume and config.output is None:
        raise UserError("Which run is to be resumed?", mend="--output DIR")
    if resume and (run := RunDir(config.output).refresh()).is_begun:
        config = changed_config(run, config.given())
        return train_in(run, config, callbacks=callbacks, is_resumed=True)
    config = with_method_of_adapter(config)
    path = config.output or new_run_path(
        config.task.name, Path(config.model).name, config.method.name
    )
    return train_in(RunDir(path), config, callbacks=callbacks)


def train_in(
    run: RunDir,
    config: RunConfig,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    is_resumed: bool = False,
) -> TrainResult:
    """Run a configuration in a run directory, from its last checkpoint if resumed.

    Raises:
        JobFailed: Another of several workers was lost.
    """
    method = make_method(config.method.name, config.method.options)
    name = config.runtime.strategy
    with contextlib.ExitStack() as at_end:
        own = at_end.enter_context(own_folder(run, name, is_resumed=is_resumed))
        at_end.enter_context(logging_to(own.log))
        at_end.enter_context(losing_workers())
        # Before any other work of TensorFlow's, where there are several workers.
        strategy = get_strategy(name, worker_timeout=config.runtime.worker_timeout)
        workers = Workers(strategy)
        resumption = find_resumption(run) if is_resumed else Resumption()
        config = with_settings(config, strategy)
        job, training, validation = at_end.enter_context(loaded_job(config))
        job = with_fitting_parts(job, strategy)
        steps = planned_steps(job.config, training.count)
        model, parameters = compiled_model(
            job, method, training, steps.total, strategy=strategy
        )
        show_parameters(parameters)
        marks = {
            "training rows": training.mark,
            "frozen weights": frozen_fingerprint(model),
        }
        if is_resumed:
            take_up(run, resumption, model, total_steps=steps.total, marks=marks)
        if workers.is_chief:
            _begin(own, job, resumption if is_resumed else None)
        of_method = method_callbacks(method, model, steps.total)
        with graceful_interrupt() as interrupt:
            watch = Watch(
                own,
                job,
                model,
                validation,
                steps=steps,
                interrupt=interrupt,
                marks=marks,
            )
            with (
                contextlib.closing(watch),
                out_of_memory_explained(run, job, strategy),
                contextlib.suppress(StoppedAtOnce),
            ):
                fit(watch, training, resumption, [*of_method, *callbacks, interrupt])
            if interrupt.requested:
                _save_interrupted(watch)
        if workers.is_chief and not interrupt.requested:
            _finish(own, job, watch, parameters, training.count)
        workers.wait()
        return TrainResult(run.place, watch.best or {}, interrupt.requested)


def _begin(run: RunDir, job: Job, resumption: Resumption | None) -> None:
    """Make the run directory that of a run that begins, or goes on."""
    if resumption is not None:
        forget_repeated(run, resumption)
        say_changes(run, job.config)
    begin_run(run, job)
    if run.publish():
        console.print(f"the run is in {run.place}, and its copy here in {run.path}")


def _finish(
    run: RunDir,
    job: Job,
    watch: Watch,
    parameters: ParameterTable,
    training_rows: int,
) -> None:
    if watch.best is None:
        watch.save_model()
    facts = {
        "trainable": parameters.trainable,
        "total": parameters.total,
        "percent": parameters.percent,
        "training_rows": training_rows,
        "steps": completed_steps(watch.model),
        "seconds": watch.seconds,
        "peak_memory": own_peak_memory(),
    }
    finish_run(run, job, watch.best, facts)
    if watch.best:
        show_table("validation", ["metric", "value"], watch.best.items())
    run.publish(at_end=True)
    say_what_next(run, job)


def _save_interrupted(watch: Watch) -> None:
    """Save what there is: the state to resume from and, as yet without a best, this."""
    watch.save_checkpoint()
    if watch.best is None:
        watch.save_model()
    step = completed_steps(watch.model)
    console.print(
        f"interrupted after update {step:,}; go on with  kerastune resume "
        f"{watch.run.place}"
    )
    watch.run.publish(at_end=True)
