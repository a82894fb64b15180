"""Taking a run up again, from its last checkpoint that is whole."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.commands.config_changes import LENGTHEN
from kerastune_llm.commands.console import console
from kerastune_llm.errors import UserError
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.checkpoint import (
    DamagedCheckpoint,
    read_checkpoint,
    restore_checkpoint,
)
from kerastune_llm.training.tensorboard import cut_events

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumption:
    """Where a run goes on.

    Args:
        folder: The checkpoint; `None` for a run that ended before its first.
        state: What `Watch` put into it.
    """

    folder: Path | None = None
    state: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Optimizer updates done."""
        return self.state.get("step", 0)

    @property
    def batches(self) -> int:
        """Batches taken from the plan."""
        return self.state.get("batches", 0)

    @property
    def evaluation_due(self) -> bool:
        """Whether the run goes on with an evaluation."""
        return self.state.get("evaluation_due", False)


def find_resumption(run: RunDir) -> Resumption:
    """The newest checkpoint that is whole; damaged ones are named in a warning.

    Raises:
        UserError: There are checkpoints, and none is whole.
    """
    folders = run.saved_checkpoints()
    for folder in folders:
        try:
            run.fetch(folder)
            return Resumption(folder, read_checkpoint(folder))
        except DamagedCheckpoint as error:
            logger.warning("%s The one before is used.", error)
    if folders:
        raise UserError(
            "No checkpoint of this run is whole.",
            received=f"{run.place}/checkpoints",
            mend=f"remove {run.place}/checkpoints to begin the run anew",
        )
    return Resumption()


def take_up(
    run: RunDir,
    resumption: Resumption,
    model: keras.Model,
    *,
    total_steps: int,
    marks: Mapping[str, str],
) -> None:
    """Bring the model to where the run goes on.

    Args:
        run: The run directory.
        resumption: Where.
        model: Compiled, the method applied.
        total_steps: Updates of the whole run.
        marks: What tells rows and frozen weights from others, by what it is of.

    Raises:
        UserError: There is nothing left to do, or the rows or the weights are others
            than those the run began with.
    """
    done = resumption.batches
    if done > total_steps or (done == total_steps and run.metrics.exists()):
        raise UserError(
            f"Nothing is left to do: {done:,} updates are done, of {total_steps:,}.",
            received=str(run.place),
            mend=LENGTHEN,
        )
    for what, mark in marks.items():
        if resumption.state.get(what, mark) != mark:
            raise UserError(
                f"The {what} are not those that the run began with.",
                received=f"a change since {resumption.folder}",
                mend="put them back, or begin a run of its own in another --output",
            )
    if resumption.folder is not None:
        restore_checkpoint(resumption.folder, model)
    _say(resumption, model, total_steps)


def forget_repeated(run: RunDir, resumption: Resumption) -> None:
    """Remove from the run directory what comes after the point where it goes on."""
    for folder in run.saved_checkpoints():
        if resumption.folder is None or folder.name > resumption.folder.name:
            shutil.rmtree(folder)
    is_evaluated = not resumption.evaluation_due
    run.cut_history(resumption.step, evaluation=is_evaluated)
    cut_events(run.tensorboard, resumption.step, evaluation=is_evaluated)
    run.metrics.unlink(missing_ok=True)


def _say(resumption: Resumption, model: keras.Model, total_steps: int) -> None:
    if resumption.folder is None:
        console.print("no checkpoint yet: the run begins anew")
        return
    console.print(
        f"going on from {resumption.folder.name}, {total_steps:,} updates in all"
    )
    _say_devices(resumption, model)
    before = resumption.state["total_steps"]
    if before != total_steps:
        rate = float(model.optimizer.learning_rate.numpy())
        console.print(
            f"the schedule reached over {before:,} updates and now over "
            f"{total_steps:,}; the learning rate goes on at {rate:.3g}"
        )


def _say_devices(resumption: Resumption, model: keras.Model) -> None:
    """Say where a batch is shared out otherwise than it was."""
    now = model.distribute_strategy.num_replicas_in_sync
    before = resumption.state.get("replicas", now)
    if before != now:
        logger.warning(
            "devices: %d, now %d; numbers round otherwise, and dropout drops others",
            before,
            now,
        )
