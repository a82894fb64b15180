"""The task that a configuration describes; no TensorFlow is needed to say."""

from kerastune_llm.config import RunConfig
from kerastune_llm.tasks.custom import configure_task
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
    return configure_task(get_task(config.task.name), **options)
