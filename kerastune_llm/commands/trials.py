"""The trials of a study: runs that belong together, in one folder."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastune_llm.commands.child_process import Outcome
from kerastune_llm.config import flag, flag_of, read_config_file
from kerastune_llm.errors import UserError, UserErrors
from kerastune_llm.remote import here
from kerastune_llm.rundir import RunDir, write_json


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Args:
        name: Its folder's.
        group: What it is one of, such as the runs of a method with other seeds.
        title: For messages.
        metric: What its run is judged by.
        values: The nested values of its RunConfig, those that were given.
    """

    name: str
    group: str
    title: str
    metric: str
    values: Mapping[str, Any]


class Study:
    """A folder of runs and of what each was told and took.

    ```
    runs/NAME/  configs/NAME.json  measured/NAME.json  logs/NAME.txt
    ```
    """

    def __init__(self, path: str | Path) -> None:
        self.path = here(path)

    def run(self, trial: Trial) -> RunDir:
        """The trial's run directory."""
        return RunDir(self.path / "runs" / trial.name)

    def config(self, trial: Trial) -> Path:
        """The trial's values, a valid `--config`."""
        return self.path / "configs" / f"{trial.name}.json"

    def log(self, trial: Trial) -> Path:
        """What the trial's process printed."""
        return self.path / "logs" / f"{trial.name}.txt"

    def is_finished(self, trial: Trial) -> bool:
        """Whether the trial's run came to its end."""
        return self.run(trial).metrics.exists()

    def can_resume(self, trial: Trial) -> bool:
        """Whether the trial's run was cut off after a checkpoint."""
        return not self.is_finished(trial) and bool(self.run(trial).saved_checkpoints())

    def begin(self, trial: Trial) -> None:
        """Make place for a trial: what an unfinished run left is removed."""
        run = self.run(trial)
        if run.config.exists():
            shutil.rmtree(run.path)
        self._measured(trial).unlink(missing_ok=True)
        write_json(self.config(trial), trial.values)

    def measured(self, trial: Trial) -> dict[str, float]:
        """`seconds` and `peak_memory` of a trial.

        Empty where the study was killed before it could write them.
        """
        path = self._measured(trial)
        return read_config_file(path) if path.exists() else {}

    def add_measures(self, trial: Trial, outcome: Outcome) -> None:
        """Write down what a process took; a trial that was resumed had several."""
        before = self.measured(trial)
        values = {
            "seconds": before.get("seconds", 0.0) + outcome.seconds,
            "peak_memory": max(before.get("peak_memory", 0), outcome.peak_memory),
        }
        write_json(self._measured(trial), values)

    def _measured(self, trial: Trial) -> Path:
        return self.path / "measured" / f"{trial.name}.json"


def check_study(study: Study, trials: Sequence[Trial]) -> None:
    """Refuse a folder in which a trial of the same name was run otherwise.

    Raises:
        UserErrors: What differs, run by run; two trials of one name.
    """
    names = [trial.name for trial in trials]
    problems = [
        UserError("Two runs would have the same folder.", received=name)
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [problem for trial in trials for problem in _changed(study, trial)]
    if problems:
        raise UserErrors(problems)


def _changed(study: Study, trial: Trial) -> Iterator[UserError]:
    run, config = study.run(trial), study.config(trial)
    if not run.config.exists():
        return
    mend = f"another --output DIR, or remove {run.path}"
    if not config.exists():
        yield UserError(
            "The output folder holds a run that is not of this study.",
            received=str(run.path),
            mend=mend,
        )
        return
    found = differences(read_config_file(config), trial.values)
    if found:
        yield UserError(
            f"{run.path} was run with another configuration: {'; '.join(found)}.",
            mend=mend,
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two nested values, by flag.

    >>> differences({"optim": {"epochs": 3}}, {"optim": {"epochs": 5}})
    ['--optim.epochs 3 then, 5 now']
    """
    then, today = by_flag(before), by_flag(now)
    return [
        f"{name} {then.get(name, 'not given')} then, {today.get(name, 'not given')} now"
        for name in sorted(then.keys() | today.keys())
        if then.get(name) != today.get(name)
    ]


def by_flag(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values by the flags that give them.

    >>> by_flag({"task": {"name": "cola"}, "optim": {"epochs": 3}})
    {'TASK': 'cola', '--optim.epochs': 3}
    """
    return {_flag(path): value for path, value in _flat(values)}


def _flat(
    values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value


def _flag(path: tuple[str, ...]) -> str:
    if path == ("task", "name"):
        return "TASK"
    return flag_of(*path) if len(path) == 2 else flag(path)
