"""Which metrics score which kind of task, as their own annotations say."""

import typing
from collections.abc import Iterator, Sequence
from typing import Any

from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.registry import METRICS
from kerastune_llm.tasks.task import Kind, Task

DEFAULT_METRICS = {
    "seq2seq": ("exact_match", "token_f1"),
    "classification": ("accuracy", "macro_f1"),
    "regression": ("pearson", "spearman"),
    "multilabel": ("multilabel_micro_f1", "multilabel_macro_f1", "set_exact_match"),
}
_KINDS: dict[Any, Kind] = {
    Sequence[str]: "seq2seq",
    Sequence[int]: "classification",
    Sequence[float]: "regression",
    Sequence[Sequence[int]]: "multilabel",
}
_SCORED = {
    "seq2seq": "texts",
    "classification": "labels",
    "regression": "numbers",
    "multilabel": "sets of labels",
}
# Two rows, right and wrong, to learn from which values a metric gives.
_EXAMPLES: dict[Kind, tuple[list, list]] = {
    "seq2seq": (["a", "b"], [["a"], ["c"]]),
    "classification": ([1, 0], [1, 1]),
    "regression": ([1.0, 0.0], [1.0, 2.0]),
    "multilabel": ([[1], []], [[1], [0]]),
}


def scored_kind(metric: str) -> Kind:
    """The kind of task a metric scores, as its own annotation says.

    >>> scored_kind("accuracy"), scored_kind("squad")
    ('classification', 'seq2seq')
    """
    return _KINDS[typing.get_type_hints(METRICS.get(metric))["predictions"]]


def metric_keys(task: Task) -> list[str]:
    """The names under which the task's metrics give their values, in order."""
    example = _EXAMPLES[task.kind]
    return [key for name in task.metrics for key in METRICS.get(name)(*example)]


def metric_problems(names: Sequence[str], kind: Kind) -> Iterator[UserError]:
    """What is wrong with metrics `names` for a kind of task, one error each."""
    for name in names:
        if name not in METRICS.names():
            yield unknown_name("metric", name, METRICS.names())
        elif scored_kind(name) != kind:
            fitting = [n for n in METRICS.names() if scored_kind(n) == kind]
            yield UserError(
                f"The metric does not score {_SCORED[kind]}, which this task has.",
                accepted=", ".join(fitting),
                received=name,
            )
