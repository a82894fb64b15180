"""CoLA: is a sentence acceptable English?"""

from collections.abc import Iterable

from kerastune_llm.registry import TASKS
from kerastune_llm.tasks.task import Row, Task


@TASKS.register
def cola() -> Task:
    """Tell acceptable English sentences from unacceptable ones (GLUE)."""
    return Task(
        name="cola",
        kind="classification",
        input_template="{sentence}",
        text_input_template="cola sentence: {sentence}",
        labels=("unacceptable", "acceptable"),
        metrics=("matthews_correlation", "accuracy"),
        best_metric="matthews_correlation",
        max_input_tokens=128,
        max_target_tokens=8,
        hub="nyu-mll/glue",
        hub_config="cola",
        tsv_columns=("source", "label", "mark", "sentence"),
        sample=_sample,
        reference="Warstadt et al. 2019, arXiv:1805.12471",
    )


def _sample(split: str) -> Iterable[Row]:
    from kerastune_llm.tasks.world import cola_sample

    return cola_sample(split)
