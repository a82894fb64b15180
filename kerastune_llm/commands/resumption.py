"""Taking a run up again: from which checkpoint, and with which configuration."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerastune_llm.backend import keras
from kerastune_llm.commands.console import console
from kerastune_llm.config import RunConfig, flag_of, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.checkpoint import (
    DamagedCheckpoint,
    read_checkpoint,
    restore_checkpoint,
)
from kerastune_llm.training.tensorboard import cut_events

logger = logging.getLogger(__name__)

# What may differ from the first part of the run. Anything else decides what the model
# is, which rows it sees in which order, or what its scores mean.
CHANGEABLE = frozenset(
    {
        "output",
        "data.num_proc",
        "optim.learning_rate",
        "optim.schedule",
        "optim.warmup",
        "optim.weight_decay",
        "optim.clip_norm",
        "optim.epochs",
        "optim.max_steps",
        "optim.accumulate_steps",
        "runtime.strategy",
        "runtime.jit",
        "runtime.checkpoint_every",
        "runtime.keep_checkpoints",
        "evaluation.every",
        "evaluation.patience",
        "evaluation.batch_size",
    }
)
LENGTHENING = frozenset({"optim.epochs", "optim.max_steps", "evaluation.patience"})


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
    def is_evaluated(self) -> bool:
        """Whether the run goes on with an evaluation."""
        return self.state.get("is_evaluated", False)


def changed_config(run: RunDir, changes: Mapping[str, Any]) -> RunConfig:
    """The run's configuration with `changes` laid over it.

    Raises:
        UserErrors: All changes that would make the result meaningless; or the run is
            finished and nothing lengthens it.
    """
    before = RunConfig.parse(read_config_file(run.config))
    after = before.updated(changes)
    changed = {path: values for path, *values in differences(before, after)}
    problems = [
        UserError(
            f"{_flag(path)} cannot change in the middle of a run.",
            accepted=str(old),
            received=str(new),
            mend="a run of its own, in another --output",
        )
        for path, (old, new) in changed.items()
        if path not in CHANGEABLE
    ]
    if "optim.epochs" in changed and after.optim.max_steps:
        problems.append(
            UserError(
                "This run counts updates, not epochs.",
                received=f"--optim.epochs {after.optim.epochs}",
                mend=f"--optim.max-steps N (it is {after.optim.max_steps})",
            )
        )
    if problems:
        raise UserErrors(problems)
    if run.metrics.exists() and not LENGTHENING & changed.keys():
        raise finished(run)
    return after


def differences(
    before: RunConfig, after: RunConfig
) -> Iterator[tuple[str, object, object]]:
    """Dotted path, old and new value of everything that differs.

    >>> before = RunConfig.parse({"task": "squad"})
    >>> after = before.updated({"optim": {"epochs": 5}})
    >>> list(differences(before, after))
    [('optim.epochs', 3, 5)]
    """
    old, new = _flat(before.to_values()), _flat(after.to_values())
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield path, old.get(path), new.get(path)


def find_resumption(run: RunDir) -> Resumption:
    """The newest checkpoint that is whole; damaged ones are named in a warning.

    Raises:
        UserError: There are checkpoints, and none is whole.
    """
    folders = run.saved_checkpoints()
    for folder in folders:
        try:
            return Resumption(folder, read_checkpoint(folder))
        except DamagedCheckpoint as error:
            logger.warning("%s The one before is used.", error)
    if folders:
        raise UserError(
            "No checkpoint of this run is whole.",
            received=str(run.checkpoints),
            mend=f"remove {run.checkpoints} to begin the run anew",
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
    """Bring the model and the logs to where the run goes on.

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
    is_short = resumption.batches >= total_steps
    if is_short and (run.metrics.exists() or resumption.batches > total_steps):
        raise finished(run)
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
    for folder in run.saved_checkpoints():
        if resumption.folder is None or folder.name > resumption.folder.name:
            shutil.rmtree(folder)
    run.cut_history(resumption.step)
    cut_events(run.tensorboard, resumption.step)
    run.metrics.unlink(missing_ok=True)


def say_changes(run: RunDir, config: RunConfig) -> None:
    """Say what differs from the configuration the run began with."""
    before = RunConfig.parse(read_config_file(run.config))
    for path, old, new in differences(before, config):
        logger.info("%s: %s, now %s", _flag(path), old, new)


def finished(run: RunDir) -> UserError:
    """The error for a run that has nothing left to do."""
    return UserError(
        "This run is finished.",
        received=str(run.path),
        mend="more of it: --optim.epochs N, or --optim.max-steps N where it was begun "
        "with that",
    )


def _say(resumption: Resumption, model: keras.Model, total_steps: int) -> None:
    if resumption.folder is None:
        console.print("no checkpoint yet: the run begins anew")
        return
    console.print(
        f"going on from {resumption.folder.name}, {total_steps:,} updates in all"
    )
    before = resumption.state["total_steps"]
    if before != total_steps:
        rate = float(model.optimizer.learning_rate)
        console.print(
            f"the schedule reached over {before:,} updates and now over "
            f"{total_steps:,}; the learning rate goes on at {rate:.3g}"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        is_group = isinstance(value, Mapping) and not prefix
        found |= _flat(value, f"{name}.") if is_group else {f"{prefix}{name}": value}
    return found


def _flag(path: str) -> str:
    group, _, name = path.partition(".")
    if path == "task.name":
        return "TASK"
    return flag_of(group, name) if name else f"--{group.replace('_', '-')}"
