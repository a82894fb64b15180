"""What may change about a run that goes on, and what did."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from kerastune_llm.commands.finish import describe_environment
from kerastune_llm.config import RunConfig, flag_of, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.rundir import RunDir

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
        "runtime.worker_timeout",
        "runtime.steps_per_execution",
        "runtime.jit",
        "runtime.gradient_checkpointing",
        "runtime.memory_limit",
        "runtime.trunk_cache_memory",
        "runtime.checkpoint_every",
        "runtime.keep_checkpoints",
        "evaluation.every",
        "evaluation.patience",
        "evaluation.batch_size",
    }
)
LENGTHENING = frozenset({"optim.epochs", "optim.max_steps", "evaluation.patience"})
# What a run that has nothing left to do is told.
LENGTHEN = (
    "more of it: --optim.epochs N, or --optim.max-steps N where it was begun with that"
)


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
            accepted="to leave it out, as before" if old is None else str(old),
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
        raise UserError("This run is finished.", received=str(run.place), mend=LENGTHEN)
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


def say_changes(run: RunDir, config: RunConfig) -> None:
    """Say what differs from how the run began: its configuration, and the machine."""
    before = RunConfig.parse(read_config_file(run.config))
    for path, old, new in differences(before, config):
        logger.info("%s: %s, now %s", _flag(path), old, new)
    old, new = (
        {**values["versions"], "CPU cores": values["cpu_cores"]}
        for values in (read_config_file(run.environment), describe_environment())
    )
    for name in new:
        if old.get(name) != new[name]:
            logger.warning(
                "%s: %s, now %s; the numbers may round otherwise",
                name,
                old.get(name),
                new[name],
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
