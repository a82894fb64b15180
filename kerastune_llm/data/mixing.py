"""Rows of several tasks as rows of one, all of them text."""

from collections.abc import Mapping

import datasets
import numpy as np

from kerastune_llm.data.render import render_inputs, render_targets
from kerastune_llm.tasks.task import Task

_TEXT = datasets.Value("string")
FEATURES = datasets.Features(
    {
        "id": _TEXT,
        "task": _TEXT,
        "input": _TEXT,
        "target": _TEXT,
        "references": datasets.List(_TEXT),
    }
)


def as_mixture_rows(task: Task, rows: datasets.Dataset) -> datasets.Dataset:
    """Canonical rows of a task with its input rendered and its label as text.

    Columns: `id` (`"cola/7"`), `task`, `input`, `target`, `references`. The one
    reference of a number is the number itself, not rounded as the target is.
    """
    targets = render_targets(task, rows)
    references = [[target] for target in targets]
    if task.kind == "regression":
        references = [[f"{number:g}"] for number in rows["label"]]
    elif not task.has_labels:
        references = list(rows["references"])
    columns = {
        "id": [f"{task.name}/{row_id}" for row_id in rows["id"]],
        "task": [task.name] * len(rows),
        "input": render_inputs(task, rows, as_text=True),
        "target": targets,
        "references": references,
    }
    return datasets.Dataset.from_dict(columns, features=FEATURES)


def mix_rows(
    members: Mapping[str, datasets.Dataset],
    shares: Mapping[str, float],
    *,
    cap: int,
    seed: int,
) -> datasets.Dataset:
    """As many rows of each task as its share of an epoch, one task after another.

    An epoch has as many rows as the tasks together, each counted up to `cap`. A task
    that has fewer rows than its share gives them several times, the rest at random.

    Args:
        members: Rows of each task, from `as_mixture_rows`.
        shares: From `mixing_shares`.
        cap: Rows at most that a task counts in the length of an epoch.
        seed: Chooses rows.
    """
    total = sum(min(len(rows), cap) for rows in members.values())
    rng = np.random.default_rng(seed)
    parts = []
    for name, rows in members.items():
        times, rest = divmod(round(shares[name] * total), len(rows))
        chosen = np.sort(rng.permutation(len(rows))[:rest])
        parts += [rows] * times + [rows.select(chosen)]
    return datasets.concatenate_datasets(parts)
