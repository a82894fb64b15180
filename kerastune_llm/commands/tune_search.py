"""A search as Optuna keeps it: which trial comes next, and how each ended.

Trials are asked for one by one, each by a sampler seeded with the trial's number, so a
search that was stopped and goes on has the trials it would have had.
"""

import uuid
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_llm.commands.trials import differences
from kerastune_llm.commands.tune_space import Dimension
from kerastune_llm.errors import UserError

if TYPE_CHECKING:
    import optuna

REQUIREMENT = "optuna>=5,<6"
_ASKED = "kerastune"
_IDENTITY = "kerastune:identity"
_PRUNED = "kerastune:pruned"
_FAILURE = "kerastune:failure"
# Seconds a process waits for another one's write to a SQLite file.
_SQLITE_TIMEOUT = 60


def import_optuna() -> ModuleType:
    """Optuna, its log lines below warnings switched off.

    Raises:
        UserError: It is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError(
            f"`kerastune tune` needs Optuna, and {error.name} is not installed.",
            mend=f'pip install "{REQUIREMENT}"',
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Search:
    """An Optuna study, to which several processes may be at work.

    Args:
        storage: Database URL, such as `sqlite:///study.db`.
        name: Of the study in it; it is made if need be.
        lower_is_better: Direction of the metric.

    Raises:
        UserError: Optuna is not installed, or the database cannot be opened.
    """

    def __init__(self, storage: str, name: str, *, lower_is_better: bool) -> None:
        self._optuna = import_optuna()
        self._study: optuna.Study = _open(
            self._optuna, storage, name, "minimize" if lower_is_better else "maximize"
        )

    def agree(self, asked: Mapping[str, Any]) -> str:
        """Write down what is searched, or refuse another search in the same study.

        Args:
            asked: Nested plain values: configuration, space, seed.

        Returns:
            What tells this study from any other one of its name.

        Raises:
            UserError: The study was begun with others; says which.
        """
        before = self._study.user_attrs.get(_ASKED)
        if before is None:
            self._study.set_user_attr(_IDENTITY, uuid.uuid4().hex)
            self._study.set_user_attr(_ASKED, dict(asked))
        found = differences(before or asked, asked)
        if found:
            raise UserError(
                f"The study was begun otherwise: {'; '.join(found)}.",
                mend="another --output DIR (and --study NAME, where given)",
            )
        return self._study.user_attrs[_IDENTITY]

    def ask(self, space: Sequence[Dimension], seed: int) -> int:
        """A new trial with values for `space`; its number, from 0.

        With the same seed and the same trials before it, the values are the same.
        """
        optuna, study = self._optuna, self._study
        trial = study.ask()
        # Unrelated for neighbouring seeds and numbers.
        (own_seed,) = np.random.SeedSequence([seed, trial.number]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(own_seed), multivariate=False
        )
        for dimension in space:
            _suggest(trial, dimension)
        return trial.number

    def trials(self) -> "list[optuna.trial.FrozenTrial]":
        """All trials, in order, those of other processes included."""
        return self._study.get_trials()

    def running(self) -> list[int]:
        """Numbers of the trials that were begun and not ended."""
        return [x.number for x in self.trials() if x.state.name == "RUNNING"]

    def values(self, number: int) -> dict[str, Any]:
        """The values of a trial by dotted name."""
        return dict(self.trials()[number].params)

    def best(self) -> "optuna.trial.FrozenTrial | None":
        """The completed trial with the best score, if one is completed."""
        states = (self._optuna.trial.TrialState.COMPLETE,)
        done = self._study.get_trials(states=states)
        return self._study.best_trial if done else None

    def complete(self, number: int, score: float) -> bool:
        """End a trial that ran through; False where it was pruned on the way."""
        states = self._optuna.trial.TrialState
        if _PRUNED in self.trials()[number].user_attrs:
            self._study.tell(number, state=states.PRUNED)
            return False
        self._study.tell(number, score)
        return True

    def fail(self, number: int, message: str) -> None:
        """End a trial that failed."""
        self._live(number).set_user_attr(_FAILURE, message)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def report(self, number: int, evaluation: int, score: float) -> bool:
        """Take a score on the way; True when the trial should stop.

        It should where its best score so far is below the median of what the completed
        trials had at the same evaluation; from the sixth trial on.

        Args:
            number: Of the trial.
            evaluation: 1 for its first. Evaluations are compared and not updates: with
                another batch size an epoch has another number of them.
            score: The metric.
        """
        trial = self._live(number)
        if evaluation not in self.trials()[number].intermediate_values:
            trial.report(score, evaluation)
        return trial.should_prune()

    def mark_pruned(self, number: int) -> None:
        """Note that a running trial stops early."""
        self._live(number).set_user_attr(_PRUNED, True)

    def importances(self) -> dict[str, float]:
        """Share of each flag in how the scores differ, the largest first.

        Nothing where fewer than four trials are completed.
        """
        states = (self._optuna.trial.TrialState.COMPLETE,)
        scores = {x.value for x in self._study.get_trials(states=states)}
        if len(scores) < 4:
            return {}
        return self._optuna.importance.get_param_importances(self._study)

    def _live(self, number: int) -> "optuna.Trial":
        # Optuna has no public way from a trial's number to a trial that can report.
        return self._optuna.Trial(self._study, self.trials()[number]._trial_id)


def failure(trial: "optuna.trial.FrozenTrial") -> str | None:
    """Why a trial failed, if it did."""
    return trial.user_attrs.get(_FAILURE)


def _open(
    optuna: ModuleType, storage: str, name: str, direction: str
) -> "optuna.Study":
    from sqlalchemy.exc import SQLAlchemyError

    is_sqlite = storage.startswith("sqlite")
    options = {"connect_args": {"timeout": _SQLITE_TIMEOUT}} if is_sqlite else {}
    try:
        opened = optuna.storages.RDBStorage(storage, engine_kwargs=options)
    except (SQLAlchemyError, ImportError) as error:
        raise UserError(
            f"The storage cannot be opened: {str(error).splitlines()[0]}",
            accepted="sqlite:///FILE, or another database URL of SQLAlchemy",
            received=storage,
        ) from error
    return optuna.create_study(
        storage=opened,
        study_name=name,
        direction=direction,
        # Draws nothing by itself: `ask` has a sampler for each trial.
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    )


def _suggest(trial: "optuna.Trial", dimension: Dimension) -> None:
    name, low, high = dimension.name, dimension.low, dimension.high
    if dimension.choices:
        trial.suggest_categorical(name, dimension.choices)
    elif isinstance(low, int):
        trial.suggest_int(name, low, high, log=dimension.use_log)
    else:
        trial.suggest_float(name, low, high, log=dimension.use_log)
