"""What goes on beside `fit`: logs, evaluations, the best weights."""

import random
from typing import NamedTuple

from kerastune_llm.backend import keras
from kerastune_llm.commands.console import console
from kerastune_llm.commands.job import Job, make_scorer
from kerastune_llm.commands.saved import save_trained
from kerastune_llm.commands.splits import Split
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.callbacks import (
    Evaluate,
    KeepBest,
    Metrics,
    MetricsLog,
    StopOnNaN,
    completed_steps,
)
from kerastune_llm.training.progress import Progress
from kerastune_llm.training.scoring import Scores
from kerastune_llm.training.tensorboard import TensorBoardLog

SAMPLES = 10
LOGGED_STEPS = 500


class Steps(NamedTuple):
    """Numbers of optimizer updates: of the whole run, and of one epoch."""

    total: int
    per_epoch: int

    @property
    def epochs(self) -> int:
        """Epochs begun, the last of which may be cut short.

        >>> Steps(total=25, per_epoch=10).epochs
        3
        """
        return -(-self.total // self.per_epoch)


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after that many updates, in the middle of an epoch if need be."""

    def __init__(self, total_steps: int) -> None:
        super().__init__()
        self.total_steps = total_steps

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if completed_steps(self.model) >= self.total_steps:
            self.model.stop_training = True


class Watch:
    """The callbacks of a run, and the scores of the best weights so far.

    Args:
        run: Where logs and the best model go.
        job: What is run.
        model: The model that trains.
        validation: The rows to evaluate on, if there are any.
        steps: Updates of the run and of an epoch.
    """

    def __init__(
        self,
        run: RunDir,
        job: Job,
        model: keras.Model,
        validation: Split | None,
        steps: Steps,
    ) -> None:
        self.run = run
        self.job = job
        self.model = model
        self.validation = validation
        self.steps = steps
        self.best: Scores | None = None
        self._latest: Scores | None = None
        self._scorer = make_scorer(job, model) if validation else None
        self._progress = Progress(steps.total, console)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The callbacks, in the order in which they must be called."""
        log = MetricsLog(
            self.run.append_history,
            every=max(1, self.steps.total // LOGGED_STEPS),
            steps_per_epoch=self.steps.per_epoch,
        )
        board = TensorBoardLog(
            self.run.tensorboard,
            every=log.every,
            steps_per_epoch=self.steps.per_epoch,
            samples=self._samples,
        )
        found = [StopOnNaN(), log, board, self._progress, StopAfter(self.steps.total)]
        if self._scorer is None:
            return found
        settings = self.job.config.evaluation
        keep = KeepBest(
            self.job.task.best_metric, self._save_best, patience=settings.patience
        )

        def keep_or_stop(step: int, metrics: Metrics) -> bool:
            stops = keep.on_evaluation(step, metrics)
            if stops:
                console.print(
                    f"stopping: no better {keep.metric} in {keep.patience} evaluations"
                )
            return stops

        evaluate = Evaluate(
            self._evaluate,
            [log.on_evaluation, board.on_evaluation, keep_or_stop],
            every=settings.every,
            steps_per_epoch=self.steps.per_epoch,
            total_steps=self.steps.total,
        )
        return [*found, evaluate]

    def close(self) -> None:
        """Give the terminal back, however `fit` ended."""
        self._progress.close()

    def save_model(self) -> None:
        """Make the model as it is now the run's model."""
        save_trained(
            self.model, self.job, whole=self.run.model, adapter=self.run.adapter
        )

    def _save_best(self) -> None:
        self.save_model()
        self.best = self._latest

    def _evaluate(self) -> dict[str, float]:
        self._latest = self._scorer.score(
            self.validation.rows,
            self.validation.tokenised,
            on_batch=self._progress.on_scored,
        )
        metrics = self._latest.metrics
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        console.print(f"step {completed_steps(self.model)}: {shown}")
        return metrics

    def _samples(self) -> list[dict]:
        records = self._latest.records
        count = min(SAMPLES, len(records))
        chosen = random.Random(0).sample(range(len(records)), count)
        return [records[index] for index in sorted(chosen)]
