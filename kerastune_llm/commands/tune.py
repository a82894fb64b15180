"""`kerastune tune`: hyper-parameters searched for with Optuna.

Each trial is a run in a process of its own, which reports every evaluation to the
study itself. TensorFlow gives memory back only when its process ends, a trial that is
killed for want of memory must not take the search with it, and several processes on
several machines are then no special case: each takes the next trial from the database.
A trial is marked by a lock on a file while a process works on it; a trial that is
begun, not ended and not locked was cut off, and the next process goes on with it.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from kerastune_llm.commands.child_process import last_message, run_process
from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.commands.console import console
from kerastune_llm.commands.study import EXIT_USER_ERROR, Progress
from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.commands.tune_report import write_report
from kerastune_llm.commands.tune_search import Search, import_optuna
from kerastune_llm.commands.tune_space import Dimension, parse_space
from kerastune_llm.commands.tune_work import (
    Work,
    folder_lock,
    mark_folder,
    next_trial,
    trial_values,
)
from kerastune_llm.commands.validation_rows import has_validation
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.errors import UserError
from kerastune_llm.locks import alone

_PROGRAM = (sys.executable, "-m", "kerastune_llm.cli")
# Failures before any success after which the cause is not the values searched.
_HOPELESS = 3


@dataclass(frozen=True)
class Tuning:
    """What a search came to.

    Args:
        folder: With best.json, the table, the plots and the runs.
        best: Nested values of the best trial; `None` where no trial ran through.
        score: The best trial's.
        progress: The trials this process ended.
    """

    folder: Path
    best: dict[str, Any] | None
    score: float
    progress: Progress

    @property
    def exit_code(self) -> int:
        """0 with a best trial: others may have failed, which is part of searching."""
        is_done = self.best is not None and not self.progress.interrupted
        return 0 if is_done else self.progress.exit_code


def tune(
    config: RunConfig | Mapping[str, Any],
    *,
    space: Sequence[str] = (),
    trials: int = 20,
    storage: str | None = None,
    study: str | None = None,
) -> Tuning:
    """Search for the best values of some flags, and write what was found.

    The same seed gives the same trials, whether or not the search was stopped between
    them, as long as one process works on it.

    Args:
        config: Of every trial, but for the space; `output` is the folder.
        space: `"optim.learning-rate=log:1e-5..1e-3"`, `"method.rank=4|8"`; default:
            learning rate, warmup and the method's size, where `config` does not give
            them.
        trials: Trials of the study in all, those before and those of other processes
            included.
        storage: URL of the study's database; default: `study.db` in the folder.
        study: Its name in the database; default: the folder's.

    Raises:
        UserError: Something is wrong with the input; Optuna is not installed; the
            study was begun with another configuration.
    """
    if not isinstance(config, RunConfig):
        config = RunConfig.parse(config)
    import_optuna()
    metric = configured_task(config).best_metric
    _check(config, trials)
    dimensions = parse_space(space, config)
    names = [config.task.name, Path(config.model).name, config.method.name]
    folder = Study(config.output or Path("runs") / "-".join(["tune", *names]))
    storage = storage or f"sqlite:///{folder.path / 'study.db'}"
    name = study or folder.path.name
    with alone(folder_lock(folder)):
        search = Search(storage, name, lower_is_better=metric == "loss")
        mark_folder(folder, search.agree(_asked(config, dimensions, metric)))
    work = Work(config, dimensions, search, folder, metric, storage, name)
    progress = _run_trials(work, trials)
    return _finished(work, progress)


def _check(config: RunConfig, trials: int) -> None:
    if trials < 1:
        raise UserError("--trials must be 1 or more.", received=trials)
    if not has_validation(config):
        raise UserError(
            "A search needs validation rows.", mend="--data.validation FILE"
        )


def _asked(
    config: RunConfig, space: Sequence[Dimension], metric: str
) -> dict[str, Any]:
    values = config.given(exclude={"output"})
    # Given or not, it decides about the trials.
    values = merge(values, {"runtime": {"seed": config.runtime.seed}})
    searched = {dimension.name: dimension.values for dimension in space}
    return {**values, "space": searched, "metric": metric}


def _run_trials(work: Work, wanted: int) -> Progress:
    progress, began = Progress(), time.monotonic()
    while not progress.interrupted:
        with next_trial(work, wanted) as number:
            if number is None:
                break
            _run(work, number, progress, wanted)
        if len(progress.codes) == _HOPELESS and work.search.best() is None:
            console.print(f"giving up: the first {_HOPELESS} trials all failed")
            break
        ended = len(progress.finished) + len(progress.codes)
        left = wanted - len(work.search.trials())
        if left and ended and not progress.interrupted:
            seconds = (time.monotonic() - began) / ended * left
            console.print(f"  {left} to go, about {_duration(seconds)} here")
    if progress.interrupted:
        console.print("interrupted; the same command goes on from here")
    return progress


def _run(work: Work, number: int, progress: Progress, wanted: int) -> None:
    trial, study = work.trial(number), work.study
    place, log = f"{number + 1}/{wanted} {trial.title}", study.log(trial)
    if not study.is_finished(trial):
        state = "resumed" if study.can_resume(trial) else "begun"
        if state == "begun":
            study.begin(trial)
        console.print(f"{place}: {state}, output in {log}", markup=False)
        outcome = run_process(_command(work, trial, number), log)
        study.add_measures(trial, outcome)
        progress.interrupted = outcome.interrupted
        if not study.is_finished(trial) or outcome.code != 0:
            if not outcome.interrupted:
                _fail(work, number, progress, last_message(log), outcome.code)
            return
    score = read_config_file(study.run(trial).metrics).get(work.metric, math.nan)
    if math.isnan(score):
        message = f"no number as {work.metric} on the validation rows"
        _fail(work, number, progress, message, EXIT_USER_ERROR)
        return
    is_complete = work.search.complete(number, score)
    progress.finished.append(trial)
    ending = "" if is_complete else ", stopped early: below the median"
    console.print(f"  {work.metric} {score:.4g}{ending}{_best(work)}", markup=False)


def _command(work: Work, trial: Trial, number: int) -> list[str]:
    return [
        *(*_PROGRAM, "tune"),
        *("--config", str(work.study.config(trial))),
        *("--output", str(work.study.run(trial).path)),
        *("--storage", work.storage, "--study", work.name),
        *("--only-trial", str(number)),
    ]


def _fail(work: Work, number: int, progress: Progress, message: str, code: int) -> None:
    work.search.fail(number, message)
    progress.fail(work.trial(number), message, code)
    console.print(f"  failed: {message}", markup=False, style="red")


def _best(work: Work) -> str:
    best = work.search.best()
    return "" if best is None else f"; best {best.value:.4g} (trial {best.number})"


def _finished(work: Work, progress: Progress) -> Tuning:
    best = work.search.best()
    if best is None:
        return Tuning(work.study.path, None, math.nan, progress)
    values = trial_values(work.config, best.params)
    with alone(folder_lock(work.study)):
        write_report(
            work.study,
            work.search,
            best=values,
            task=work.config.task.name,
            metric=work.metric,
        )
    return Tuning(work.study.path, values, best.value, progress)


def _duration(seconds: float) -> str:
    """
    >>> _duration(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))
