"""A finished run as its own files tell of it; no model is opened."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.commands.trials import by_flag
from kerastune_llm.config import RunConfig, read_config_file
from kerastune_llm.data.answers import read_answer
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.metrics.bootstrap import score_with_intervals
from kerastune_llm.rundir import RunDir
from kerastune_llm.tasks.task import Task

Interval = tuple[float, float]


@dataclass(frozen=True)
class ReportedRun:
    """A finished run.

    Args:
        name: What tells it from the others on the page.
        path: The run directory, or its address.
        config: Its configuration.
        metrics: Of its saved model on the validation rows.
        environment: Versions, devices, command, and as `trained` what it took.
        history: Lines of `metrics.jsonl`.
        records: Lines of `predictions/validation.jsonl`.
    """

    name: str
    path: Path | str
    config: RunConfig
    metrics: Mapping[str, float]
    environment: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    records: Sequence[Mapping[str, Any]]

    @cached_property
    def task(self) -> Task:
        """The task as it was run."""
        return configured_task(self.config)

    @property
    def facts(self) -> Mapping[str, float]:
        """Parameter counts, rows, steps, time and memory, as far as known."""
        return self.environment.get("trained", {})

    @property
    def settings(self) -> dict[str, Any]:
        """Its configuration by flag, without the folder it is in."""
        flags = by_flag(self.config.to_values())
        return {name: value for name, value in flags.items() if name != "--output"}

    @property
    def saved_bytes(self) -> int:
        """Size of what was saved of the model: all of it, or an adapter."""
        return RunDir(self.path).saved_bytes

    @property
    def shown_metrics(self) -> dict[str, float]:
        """The metrics without the ends of their intervals."""
        return {name: x for name, x in self.metrics.items() if not _is_end(name)}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals by metric: those of the run, else by resampling its rows."""
        values = self.metrics
        if not any(map(_is_end, values)) and self.records and not self.task.members:
            values = score_with_intervals(self.task.metrics, *_answers(self))
        return {
            name: (values[f"{name}_low"], values[f"{name}_high"])
            for name in values
            if f"{name}_low" in values and math.isfinite(values[f"{name}_low"])
        }


def read_runs(paths: Sequence[Path | str]) -> list[ReportedRun]:
    """The finished runs in these folders, in order.

    Raises:
        UserErrors: What is wrong with any of them.
    """
    problems: list[Exception] = []
    runs: list[ReportedRun] = []
    twice = {str(path) for path in paths if _places(paths).count(_place(path)) > 1}
    problems += [UserError("The run is given twice.", received=x) for x in twice]
    for path, name in zip(paths, _names(paths), strict=True):
        try:
            runs.append(_read(RunDir.finished(path), name))
        except UserError as error:
            problems.append(error)
    if problems:
        raise UserErrors(problems)
    return runs


def _place(path: Path | str) -> Path:
    return path.resolve() if isinstance(path, Path) else Path(path)


def _places(paths: Sequence[Path | str]) -> list[Path]:
    return [_place(path) for path in paths]


def _names(paths: Sequence[Path | str]) -> list[str]:
    """The folders' own names where these differ, else the paths as they were given."""
    names = [path.name for path in _places(paths)]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _read(run: RunDir, name: str) -> ReportedRun:
    known = run.environment.exists()
    try:
        return ReportedRun(
            name=name,
            path=run.place,
            config=RunConfig.parse(read_config_file(run.config)),
            metrics=read_config_file(run.metrics),
            environment=read_config_file(run.environment) if known else {},
            history=run.read_history(),
            records=run.read_predictions("validation"),
        )
    except UserError as error:
        raise UserError(f"{run.place}: {error}") from error
    except ValueError as error:
        raise UserError(
            f"A file of the run is damaged: {error}.",
            received=str(run.place),
            mend=f"kerastune train --config {run.config} --output DIR trains it again",
        ) from error


def _answers(run: ReportedRun) -> tuple[list[Any], list[Any]]:
    """Predictions and references as metrics are given them."""
    task = run.task
    predictions = [read_answer(task, record["prediction"]) for record in run.records]
    if not task.has_labels:
        return predictions, [record["references"] for record in run.records]
    truth = [read_answer(task, record["references"][0]) for record in run.records]
    return predictions, truth


def _is_end(metric: str) -> bool:
    return metric.endswith(("_low", "_high"))
