"""Scores of a mixture: each task by its own metrics, and the mean of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import datasets

from kerastune_llm.data.answers import read_answer
from kerastune_llm.metrics.scoring import row_score, score
from kerastune_llm.tasks.task import Task


def score_mixture(
    task: Task,
    texts: Sequence[str],
    rows: datasets.Dataset,
    score_rows: Callable[..., dict[str, float]] = score,
) -> tuple[dict[str, float], list[float]]:
    """Metrics by `task/metric`, their `mean` in percent, and each row's own score.

    Args:
        task: The mixture.
        texts: What the model wrote, one text a row.
        rows: Rows of `as_mixture_rows`.
        score_rows: `score`, or `score_with_intervals`.
    """
    metrics: dict[str, float] = {}
    row_scores = [0.0] * len(texts)
    best = []
    owners, references = list(rows["task"]), list(rows["references"])
    for name, member in task.members.items():
        places = [place for place, owner in enumerate(owners) if owner == name]
        if not places:
            continue
        member = _labels_known(member, [references[place] for place in places])
        predictions = [read_answer(member, texts[place]) for place in places]
        truth = [_truth(member, references[place]) for place in places]
        found = score_rows(member.metrics, predictions, truth)
        metrics |= {f"{name}/{key}": value for key, value in found.items()}
        # Metrics of texts are percentages, those of labels shares of one.
        scale = 100.0 if member.has_labels else 1.0
        best.append(scale * found[member.best_metric])
        for place, prediction, reference in zip(
            places, predictions, truth, strict=True
        ):
            row_scores[place] = row_score(member.metrics, prediction, reference)
    return {"mean": sum(best) / len(best), **metrics}, row_scores


def _truth(member: Task, references: list[str]) -> Any:
    return read_answer(member, references[0]) if member.has_labels else references


def _labels_known(member: Task, references: Sequence[list[str]]) -> Task:
    """A member with discovered labels gets those that its references name."""
    if not member.lacks_labels:
        return member
    names = {name.strip() for [text] in references for name in text.split(",")}
    return replace(member, labels=tuple(sorted(filter(None, names))))
