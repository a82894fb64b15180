"""Running the trials of a study one after another, each in a process of its own."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kerastune_llm.commands.child_process import last_message, run_process
from kerastune_llm.commands.console import console
from kerastune_llm.commands.trials import Study, Trial, check_study
from kerastune_llm.config import read_config_file

_PROGRAM = (sys.executable, "-m", "kerastune_llm.cli")

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


@dataclass
class Progress:
    """How far a study came.

    Args:
        finished: Trials whose runs are there with a score, reused ones included.
        failures: Messages of the trials that failed, by name.
        codes: Their exit codes.
        interrupted: Whether a signal ended the study early.
    """

    finished: list[Trial] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    interrupted: bool = False

    def fail(self, trial: Trial, message: str, code: int) -> None:
        """Take a trial for failed."""
        self.failures[trial.name] = message
        self.codes.append(code)

    @property
    def exit_code(self) -> int:
        """0 done, 130 interrupted; where a trial failed 2, or 1 if not by its input."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        if not self.codes:
            return 0
        by_input = all(code == EXIT_USER_ERROR for code in self.codes)
        return EXIT_USER_ERROR if by_input else EXIT_FAILURE


def run_trials(study: Study, trials: Sequence[Trial]) -> Progress:
    """Run what is not finished yet, in order; one that fails does not stop the others.

    Args:
        study: The folder.
        trials: All trials of the study.

    Raises:
        UserErrors: The folder holds runs of the same names but other configurations.
    """
    check_study(study, trials)
    progress = Progress()
    todo = [trial for trial in trials if not study.is_finished(trial)]
    for trial in trials:
        if trial not in todo:
            _take(study, trial, progress, f"{trial.title}: finished before")
    began = time.monotonic()
    for number, trial in enumerate(todo, start=1):
        _run(study, trial, progress, f"{number}/{len(todo)} {trial.title}")
        if progress.interrupted:
            console.print("interrupted; the same command goes on from here")
            break
        left = (time.monotonic() - began) / number * (len(todo) - number)
        if left:
            console.print(f"  about {_duration(left)} left")
    return progress


def _run(study: Study, trial: Trial, progress: Progress, place: str) -> None:
    run, log = str(study.run(trial).path), study.log(trial)
    if study.can_resume(trial):
        state, command = "resumed", ["resume", run]
    else:
        state, config = "begun", str(study.config(trial))
        command = ["train", "--config", config, "--output", run]
        study.begin(trial)
    console.print(f"{place}: {state}, output in {log}", markup=False)
    outcome = run_process([*_PROGRAM, *command], log)
    study.add_measures(trial, outcome)
    progress.interrupted = outcome.interrupted
    if study.is_finished(trial) and outcome.code == 0:
        _take(study, trial, progress, f"{place}: {_duration(outcome.seconds)}")
    elif not outcome.interrupted:
        message = last_message(log)
        progress.fail(trial, message, outcome.code)
        console.print(f"{place}: failed: {message}", markup=False, style="red")


def _take(study: Study, trial: Trial, progress: Progress, line: str) -> None:
    """Count a finished run, with its score, as finished; as failed if it has none."""
    score = read_config_file(study.run(trial).metrics).get(trial.metric, math.nan)
    if math.isnan(score):
        message = f"no number as {trial.metric} on the validation rows"
        progress.fail(trial, message, EXIT_USER_ERROR)
        console.print(f"{line}, {message}", markup=False, style="red")
    else:
        progress.finished.append(trial)
        console.print(f"{line}, {trial.metric} {score:.4g}", markup=False)


def _duration(seconds: float) -> str:
    """
    >>> _duration(41.3), _duration(200), _duration(7500)
    ('41 s', '3 min 20 s', '2 h 5 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def failure_lines(progress: Progress) -> str:
    """The failed runs as lines of markdown, nothing where none failed."""
    if not progress.failures:
        return ""
    lines = (f"- {name}: {text}" for name, text in progress.failures.items())
    return "\n".join(["", "Failed:", "", *lines, ""])
