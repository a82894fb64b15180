"""A task of the user's own, and any task with parts of it changed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from kerastune_llm.errors import UserError, UserErrors, unknown_name
from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.metric_kinds import (
    DEFAULT_METRICS,
    metric_keys,
    metric_problems,
)
from kerastune_llm.tasks.task import Task, template_problem

OPTIONS = (
    "kind",
    "input_template",
    "pair_template",
    "target_template",
    "label_column",
    "labels",
    "references_column",
    "columns",
    "hub",
    "hub_config",
    "hub_splits",
    "metrics",
    "best_metric",
)


@TASKS.register
def custom() -> Task:
    """A task from your own files; the templates or the label column say which."""
    return Task(
        name="custom",
        kind="seq2seq",
        input_template="",
        reference="your own data",
    )


def configure_task(task: Task, **options: Any) -> Task:
    """The task with `options` laid over it, checked.

    Args:
        task: Any task; `custom` has no templates of its own and needs them here.
        options: Fields of Task by name, those in `OPTIONS`; `None` leaves a field as
            it is. An `input_template` takes the place of all the task's input
            templates, for a head and for text.

    Raises:
        UserErrors: Everything wrong with the options.

    Example:
    >>> task = configure_task(custom(), input_template="{q}", target_template="{a}")
    >>> task.kind, task.metrics, task.best_metric
    ('seq2seq', ('exact_match', 'token_f1'), 'exact_match')
    """
    given = {name: value for name, value in options.items() if value is not None}
    unknown = [unknown_name("option", n, OPTIONS) for n in given if n not in OPTIONS]
    if unknown:
        raise UserErrors(unknown)
    if task.name == "custom" and "kind" not in given:
        given["kind"] = _kind_of(given)
    if not given:
        return task
    configured = replace(_without_replaced(task, given), **_frozen(given))
    configured = _with_metrics(configured, given)
    problems = list(_problems(configured, given))
    if problems:
        raise UserErrors(problems)
    if not configured.best_metric:
        key = next(iter(metric_keys(configured)))
        configured = replace(configured, best_metric=key)
    return configured


def _without_replaced(task: Task, given: Mapping[str, Any]) -> Task:
    """The task without what belongs to a template or a dataset that is given anew."""
    if "input_template" in given:
        task = replace(task, text_input_template="", pair_template="")
    if "hub" in given:
        task = replace(task, hub_config=None)
    return task


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as tuples, so that the task stays a value."""
    return {
        name: tuple(value) if name in ("labels", "metrics") else value
        for name, value in given.items()
    }


def _kind_of(given: Mapping[str, Any]) -> str:
    has_label = "label_column" in given or "labels" in given
    has_text = "target_template" in given or "references_column" in given
    return "classification" if has_label and not has_text else "seq2seq"


def _with_metrics(task: Task, given: Mapping[str, Any]) -> Task:
    """The task with the default metrics of its kind, where it has no fitting ones."""
    if "metrics" not in given and (not task.metrics or "kind" in given):
        task = replace(task, metrics=DEFAULT_METRICS[task.kind])
    changed = "metrics" in given or "kind" in given
    if changed and "best_metric" not in given:
        task = replace(task, best_metric="")
    return task


def _problems(task: Task, given: Mapping[str, Any]) -> Iterator[UserError]:
    yield from _template_problems(task, given)
    if task.kind == "seq2seq":
        yield from _target_problems(task, given)
    else:
        yield from _label_problems(task, given)
    unfit = list(metric_problems(task.metrics, task.kind))
    yield from unfit
    if not unfit and task.best_metric:
        keys = metric_keys(task)
        if task.best_metric not in keys:
            yield unknown_name("best metric", task.best_metric, keys)


def _template_problems(task: Task, given: Mapping[str, Any]) -> Iterator[UserError]:
    if not task.input_template and "input_template" not in given:
        yield UserError(
            f"The task {task.name} needs an input template.",
            mend='--task.input-template "question: {question} context: {context}"',
        )
    for name in ("input_template", "pair_template", "target_template"):
        problem = template_problem(given[name]) if name in given else ""
        if problem:
            yield UserError(
                f"--task.{name.replace('_', '-')} {problem}.",
                accepted='text with column names in braces, such as "ask: {question}"',
                received=given[name],
            )


def _target_problems(task: Task, given: Mapping[str, Any]) -> Iterator[UserError]:
    if "target_template" not in given and not (
        task.target_template or task.references_column
    ):
        yield UserError(
            f"The task {task.name} needs to know what is to be learned.",
            accepted='a text (--task.target-template "{answer}") '
            "or a label (--task.label-column label)",
        )
    if "label_column" in given or "labels" in given:
        yield UserError(
            "A target text and a label are both given, and a row has only one of them.",
            mend="leave out one, or say --task.kind classification or seq2seq",
        )
    if "pair_template" in given:
        yield UserError(
            "--task.pair-template is for a label, on an encoder.",
            mend='--task.input-template "{first} {second}"',
            received=given["pair_template"],
        )


def _label_problems(task: Task, given: Mapping[str, Any]) -> Iterator[UserError]:
    for name in ("target_template", "references_column"):
        if name in given:
            yield UserError(
                f"--task.{name.replace('_', '-')} has no meaning with a label.",
                mend="leave it out, or say --task.kind seq2seq",
                received=given[name],
            )
    labels = task.labels if "labels" in given else ()
    if labels and task.kind == "regression":
        yield UserError(
            "--task.labels has no meaning for numbers.",
            mend="leave it out, or say --task.kind classification",
            received=", ".join(labels),
        )
    if len(set(labels)) < len(labels) or len(labels) == 1:
        yield UserError(
            "--task.labels must be two or more different names.",
            received=", ".join(labels),
        )
