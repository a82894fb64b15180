"""The task that a configuration describes; no TensorFlow is needed to say."""

from dataclasses import replace
from typing import Any

from kerastune_llm.config import RunConfig, flag
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.tasks.custom import configure_task
from kerastune_llm.tasks.metric_kinds import metric_keys
from kerastune_llm.tasks.mixture import mix
from kerastune_llm.tasks.task import Task, get_task


def configured_task(config: RunConfig) -> Task:
    """The registered task with the configuration's changes to it.

    Raises:
        UserErrors: Everything wrong with the changes.

    Example:
    >>> configured_task(RunConfig.parse({"task": "cola"})).best_metric
    'matthews_correlation'
    """
    options = config.task.model_dump(exclude={"name", "form"}, exclude_none=True)
    options["best_metric"] = config.evaluation.metric
    if config.task.name == "mixture":
        return _mixture(config, options)
    return configure_task(get_task(config.task.name), **options)


def _mixture(config: RunConfig, options: dict[str, Any]) -> Task:
    best_metric = options.pop("best_metric") or "mean"
    if options:
        raise UserError(
            "A mixture takes its tasks as they are.",
            received=", ".join(flag(("task", name)) for name in options),
            mend="leave it out, or register a task of your own with --task-file",
        )
    task = mix([get_task(name) for name in config.mixture.tasks])
    metrics = {
        f"{name}/{key}"
        for name, member in task.members.items()
        for key in metric_keys(member)
    }
    if best_metric not in metrics | {"mean"}:
        raise unknown_name("best metric", best_metric, metrics | {"mean"})
    return replace(task, best_metric=best_metric)
