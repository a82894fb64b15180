"""What a TPU asks of a run's settings."""

import logging
from collections.abc import Iterator
from typing import Any

from kerastune_llm.backend import tf
from kerastune_llm.commands.job import with_bundled_settings
from kerastune_llm.config import RunConfig, merge
from kerastune_llm.errors import UserError, UserErrors

logger = logging.getLogger(__name__)

# Cores of one TPU host, each of which is a replica.
REPLICAS = 8


def with_settings(config: RunConfig, strategy: tf.distribute.Strategy) -> RunConfig:
    """The configuration with the settings of its devices and its model.

    What was not given becomes what a TPU needs, where the strategy is one's, and what a
    bundled model is best trained with. The log says what.

    Raises:
        UserErrors: What of it does not run on a TPU, and what would.
    """
    if not isinstance(strategy, tf.distribute.TPUStrategy):
        return with_bundled_settings(config)
    config = with_bundled_settings(for_tpu(config))
    problems = list(tpu_misfits(config, strategy.num_replicas_in_sync))
    if problems:
        raise UserErrors(problems)
    return config


def for_tpu(config: RunConfig) -> RunConfig:
    """The configuration with a TPU's settings where none were given."""
    changes: dict[str, dict[str, Any]] = {"data": {}, "runtime": {}}
    if "batching" not in config.data.model_fields_set:
        logger.info("TPU: --data.batching fixed, for a TPU compiles every shape anew")
        changes["data"]["batching"] = "fixed"
    if "precision" not in config.runtime.model_fields_set:
        logger.info("TPU: --runtime.precision mixed_bfloat16, its own numbers")
        changes["runtime"]["precision"] = "mixed_bfloat16"
    if config.runtime.steps_per_execution in (None, 1):
        logger.info("TPU: with --runtime.steps-per-execution 32 it waits less")
    return RunConfig.parse(merge(config.given(), changes))


def tpu_misfits(config: RunConfig, replicas: int = REPLICAS) -> Iterator[UserError]:
    """Why a configuration would not run on a TPU of so many replicas."""
    if config.data.batching != "fixed":
        yield UserError(
            "A TPU compiles every shape anew, and batches of this kind have many.",
            accepted="--data.batching fixed",
            received=f"--data.batching {config.data.batching}",
            mend="--data.batching fixed, or --runtime.strategy one",
        )
    if config.runtime.precision == "mixed_float16":
        yield UserError(
            "A TPU computes in bfloat16, not in float16.",
            accepted="mixed_bfloat16, float32",
            received="--runtime.precision mixed_float16",
            mend="--runtime.precision mixed_bfloat16",
        )
    if config.runtime.jit:
        yield UserError(
            "A TPU compiles the training step by itself.",
            received="--runtime.jit",
            mend="--no-runtime.jit",
        )
    if config.runtime.gradient_checkpointing:
        yield UserError(
            "Gradient checkpointing goes by an order of operations that no TPU keeps.",
            received="--runtime.gradient-checkpointing",
            mend="--optim.accumulate-steps 2, and --no-runtime.gradient-checkpointing",
        )
    if config.optim.accumulate_steps == "auto":
        yield UserError(
            "The memory of a TPU is not measured.",
            received="--optim.batch-size auto, or --optim.accumulate-steps auto",
            mend="--optim.accumulate-steps 1, and a larger one where it does not fit",
        )
    for group, flag in ((config.optim, "optim"), (config.evaluation, "evaluation")):
        rows = group.batch_size
        if rows != "auto" and rows % replicas:
            nearest = max(1, round(rows / replicas)) * replicas
            yield UserError(
                f"A batch is shared out evenly among the {replicas} cores of a TPU.",
                accepted=f"a multiple of {replicas}",
                received=f"--{flag}.batch-size {rows}",
                mend=f"--{flag}.batch-size {nearest}",
            )
