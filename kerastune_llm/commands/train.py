"""`kerastune train`: from a configuration to a run directory."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.commands.assemble import (
    assemble,
    load_splits,
    make_scorer,
    say_truncation,
    with_bundled_defaults,
)
from kerastune_llm.commands.console import console, logging_to, show_parameters
from kerastune_llm.commands.finish import begin_run, finish_run
from kerastune_llm.commands.watch import Watch
from kerastune_llm.config import RunConfig
from kerastune_llm.data.batching import count_steps
from kerastune_llm.data.pipeline import build_dataset
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.methods.method import make_method
from kerastune_llm.models.loading import load_model
from kerastune_llm.rundir import RunDir, new_run_path
from kerastune_llm.training.interrupt import graceful_interrupt
from kerastune_llm.training.optimizers import build_optimizer
from kerastune_llm.training.precision import set_precision
from kerastune_llm.training.schedules import build_schedule
from kerastune_llm.training.seed import seed_everything
from kerastune_llm.training.step import compile_model
from kerastune_llm.training.strategy import get_strategy

logger = logging.getLogger(__name__)


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
    config = with_bundled_defaults(config)
    method = make_method(config.method.name, config.method.options)
    run = RunDir.create(
        config.output
        or new_run_path(config.task.name, Path(config.model).name, config.method.name)
    )
    with logging_to(run.log):
        optim, runtime = config.optim, config.runtime
        seed_everything(runtime.seed)
        recipe = assemble(config)
        recipe, training, validation = load_splits(recipe)
        begin_run(run, recipe)
        say_truncation("training", training)
        say_truncation("validation", validation)

        strategy = get_strategy(runtime.strategy)
        set_precision(runtime.precision, recipe.model_type)
        steps_per_epoch = count_steps(len(training.rows), batch_size=optim.batch_size)
        total_steps = optim.max_steps or optim.epochs * steps_per_epoch
        with strategy.scope():
            model = load_model(
                config.model,
                kind=recipe.model_kind,
                labels=recipe.task.labels,
                from_scratch=config.from_scratch,
                seed=runtime.seed,
            )
            parameters = apply_method(model, method)
            schedule = build_schedule(
                optim.schedule,
                learning_rate=optim.learning_rate,
                warmup=optim.warmup,
                total_steps=total_steps,
            )
            optimizer = build_optimizer(
                optim.name,
                learning_rate=schedule,
                weight_decay=optim.weight_decay,
                clip_norm=optim.clip_norm,
            )
            compile_model(model, optimizer, jit=runtime.jit)
        show_parameters(parameters)

        batches = build_dataset(
            training.tokenised,
            tokenizer=recipe.tokenizer,
            batch_size=optim.batch_size,
            steps=total_steps,
            seed=runtime.seed,
            batching=config.data.batching,
            max_input_tokens=recipe.max_input_tokens,
            max_target_tokens=recipe.max_target_tokens,
        )
        watch = Watch(
            run,
            recipe,
            make_scorer(recipe, model) if validation else None,
            validation,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
        )
        with graceful_interrupt() as interrupt:
            model.fit(
                batches,
                epochs=1,
                steps_per_epoch=total_steps,
                verbose=0,
                callbacks=[*watch.callbacks(model), *callbacks],
            )
        ...
