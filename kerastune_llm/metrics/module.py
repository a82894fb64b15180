"""Metrics behind the interface of Hugging Face `evaluate`, without the hub."""

import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kerastune_llm.registry import METRICS

if TYPE_CHECKING:
    import evaluate


def load_metric(name: str) -> "evaluate.Metric":
    """The registered metric as an `evaluate.Metric`, held in memory.

    It has `add`, `add_batch`, `compute` and can stand in `evaluate.combine`. Nothing is
    read from or written to disk, which `evaluate.load` needs the hub for.

    Args:
        name: Name in the metric register.

    Raises:
        UserError: No such metric; the nearest names are given.

    Example:
    >>> metric = load_metric("exact_match")
    >>> metric.add_batch(predictions=["Nile"], references=[["the Nile", "a river"]])
    >>> metric.compute()
    {'exact_match': 100.0}
    """
    import datasets
    import evaluate

    function = METRICS.get(name)

    class RegisteredMetric(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=function.__doc__ or name,
                citation="",
                inputs_description="",
                features=datasets.Features(_features(function)),
            )

        def _build_data_dir(self) -> str:
            return ""

        def _compute(self, predictions: list, references: list) -> dict[str, float]:
            return function(predictions, references)

    metric = RegisteredMetric(keep_in_memory=True)
    metric.info.module_name = name
    return metric


def _features(function: Callable) -> dict[str, object]:
    """Column types after the annotation of the function's predictions."""
    from datasets import List, Value

    number, label, text = Value("float64"), Value("int64"), Value("string")
    columns = {
        Sequence[str]: (text, List(text)),
        Sequence[int]: (label, label),
        Sequence[float]: (number, number),
        Sequence[Sequence[int]]: (List(label), List(label)),
    }
    predictions, references = columns[typing.get_type_hints(function)["predictions"]]
    return {"predictions": predictions, "references": references}
