"""`kerastune runs`: the finished runs of a folder and what they came to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.commands.console import console, show_table
from kerastune_llm.config import read_config_file
from kerastune_llm.errors import UserError, unknown_name
from kerastune_llm.remote import here
from kerastune_llm.rundir import RunDir


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end.

    Args:
        path: The run directory.
        config: Nested values of its configuration.
        metrics: Of the saved model on the validation rows.
    """

    path: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def task(self) -> str:
        """Name of its task."""
        return self.config["task"]["name"]


def find_runs(folder: str | Path) -> list[FinishedRun]:
    """The finished runs below a folder, those of its studies too, by path.

    Raises:
        UserError: There is no such folder.
    """
    folder = here(folder)
    if not folder.is_dir():
        raise UserError(
            "There is no such folder.",
            received=str(folder),
            mend="`kerastune train TASK` makes runs/; or name another folder",
        )
    runs = (RunDir(file.parent) for file in sorted(folder.rglob("metrics.json")))
    return [
        FinishedRun(
            run.path, read_config_file(run.config), read_config_file(run.metrics)
        )
        for run in runs
        if run.is_begun
    ]


def show_runs(
    folder: str | Path, *, task: str | None = None, sort: str | None = None
) -> list[FinishedRun]:
    """Print the finished runs below a folder.

    Args:
        folder: Searched with all folders in it.
        task: Leave out runs of other tasks.
        sort: Metric by which they are ordered, the best first; runs without it are
            left out.

    Returns:
        The runs that were printed, in their order.

    Raises:
        UserError: No such folder; no run of the task or with the metric.
    """
    runs = find_runs(folder)
    if not runs:
        console.print(f"no finished run in {folder}", markup=False)
        return []
    if task is not None:
        tasks = {run.task for run in runs}
        if task not in tasks:
            raise unknown_name("task of these runs", task, tasks)
        runs = [run for run in runs if run.task == task]
    if sort is not None:
        runs = _sorted(runs, sort)
    columns = ["run", "task", "model", "method", sort or "metrics"]
    show_table(f"{len(runs)} finished", columns, [_cells(run, sort) for run in runs])
    return runs


def _sorted(runs: list[FinishedRun], metric: str) -> list[FinishedRun]:
    """The runs that have the metric, the best first and what is no number last."""
    names = {name for run in runs for name in run.metrics}
    if metric not in names:
        raise unknown_name("metric of these runs", metric, names)
    sign = 1 if metric == "loss" else -1

    def place(run: FinishedRun) -> tuple[bool, float]:
        value = run.metrics[metric]
        return math.isnan(value), sign * value

    return sorted((run for run in runs if metric in run.metrics), key=place)


def _cells(run: FinishedRun, metric: str | None) -> list[str]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in run.metrics.items())
    return [
        str(run.path),
        run.task,
        Path(run.config.get("model", "starter")).name,
        run.config.get("method", {}).get("name", "full"),
        f"{run.metrics[metric]:.4g}" if metric else metrics,
    ]
