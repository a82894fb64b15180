"""What goes on beside `fit`: logs, evaluations, the best weights, checkpoints."""

import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from kerastune_llm.backend import keras
from kerastune_llm.commands.console import console
from kerastune_llm.commands.job import Job, make_scorer
from kerastune_llm.commands.saved import save_trained
from kerastune_llm.commands.splits import Split
from kerastune_llm.commands.trunk import filled_cache
from kerastune_llm.rundir import RunDir, write_jsonl
from kerastune_llm.training.callbacks import (
    Evaluate,
    KeepBest,
    Metrics,
    MetricsLog,
    StopOnNaN,
    completed_steps,
)
from kerastune_llm.training.checkpoint import save_checkpoint
from kerastune_llm.training.checkpointing import Checkpoints
from kerastune_llm.training.interrupt import Interrupt, StoppedAtOnce
from kerastune_llm.training.progress import Progress
from kerastune_llm.training.scoring import Scores
from kerastune_llm.training.tensorboard import TensorBoardLog
from kerastune_llm.training.trunk_outputs import TrunkOutputs
from kerastune_llm.training.workers import Workers

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

    def next_due(self, step: int) -> int:
        """The last update, which no execution may go beyond."""
        return max(self.total_steps, step + 1)


class Watch:
    """The callbacks of a run, and what they remember of it.

    Of several workers the chief alone evaluates and saves; the others wait for its
    metrics, and come to the same decisions by them.

    Args:
        run: Where logs, checkpoints and the best model go.
        job: What is run.
        model: The model that trains.
        validation: The rows to evaluate on, if there are any.
        steps: Updates of the run and of an epoch.
        interrupt: Ends an evaluation at once when a signal comes.
        marks: What a checkpoint recognises the run's rows and frozen weights by.
    """

    def __init__(
        self,
        run: RunDir,
        job: Job,
        model: keras.Model,
        validation: Split | None,
        *,
        steps: Steps,
        interrupt: Interrupt,
        marks: Mapping[str, str],
    ) -> None:
        self.run = run
        self.job = job
        self.model = model
        self.validation = validation
        self.steps = steps
        self.interrupt = interrupt
        self.marks = marks
        self._workers = Workers(model.distribute_strategy)
        self._seconds, self._began = 0.0, time.monotonic()
        self._latest: Scores | None = None
        self._scorer = make_scorer(job, model) if validation else None
        self._trunk: TrunkOutputs | None = None
        self._progress = Progress(steps.total, console)
        settings = job.config.evaluation
        self._keep = KeepBest(
            job.task.best_metric, self._save_best, patience=settings.patience
        )
        self._log = MetricsLog(
            run.append_history,
            every=max(1, steps.total // LOGGED_STEPS),
            steps_per_epoch=steps.per_epoch,
        )
        self._board = TensorBoardLog(
            run.tensorboard,
            every=self._log.every,
            steps_per_epoch=steps.per_epoch,
            samples=self._samples if self._workers.is_chief else None,
        )
        self._evaluations = Evaluate(
            self._evaluate,
            [
                self._log.on_evaluation,
                self._board.on_evaluation,
                self._keep_or_stop,
                self._publish,
            ],
            every=settings.every,
            steps_per_epoch=steps.per_epoch,
            total_steps=steps.total,
        )
        self._checkpoints = Checkpoints(
            self._save_checkpoint,
            every=job.config.runtime.checkpoint_every,
            is_evaluated=self._evaluations.is_due,
        )

    @property
    def best(self) -> dict[str, float] | None:
        """Metrics of the best weights so far, if any were evaluated."""
        return None if self._keep.best_step is None else self._keep.best_metrics

    @property
    def seconds(self) -> float:
        """Time of the run so far, what it took before a resume included."""
        return self._seconds + time.monotonic() - self._began

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The callbacks, in the order in which they must be called."""
        return [
            StopOnNaN(),
            self._log,
            self._board,
            self._progress,
            StopAfter(self.steps.total),
            # A run that is taken up again there has the evaluation before it.
            self._checkpoints,
            *([self._evaluations] if self._scorer else []),
        ]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what a checkpoint does."""
        self._seconds = state.get("seconds", 0.0)
        self._keep.restore(state["best"])
        self._checkpoints.batches = state["batches"]
        self._checkpoints.last_step = state["step"]

    def keep_trunk(self, trunk: TrunkOutputs | None) -> None:
        """Compute its outputs for the validation rows at their first use."""
        self._trunk = trunk
        if trunk is not None and self._scorer is not None:
            # A trunk of an encoder-decoder ends after its encoder, or further on.
            self._scorer.keep_encoded(self.job.config.runtime.trunk_cache_memory)

    def evaluate_restored(self) -> bool:
        """The evaluation a checkpoint was written before; True when it ends the run."""
        if self._scorer is not None:
            self._evaluations.set_model(self.model)
            self._evaluations.evaluate_now()
        return self.model.stop_training

    def save_checkpoint(self) -> None:
        """Save the state of now, if it is not."""
        self._checkpoints.set_model(self.model)
        self._checkpoints.save_now()

    def close(self) -> None:
        """Give the terminal back, however `fit` ended."""
        self._progress.close()

    def save_model(self) -> None:
        """Make the model as it is now the run's model."""
        if self._workers.is_chief:
            save_trained(
                self.model, self.job, whole=self.run.model, adapter=self.run.adapter
            )

    def _save_best(self) -> None:
        if not self._workers.is_chief:
            return
        self.save_model()
        write_jsonl(self.run.predictions("validation"), self._latest.records)

    def _save_checkpoint(self, batches: int) -> None:
        if not self._workers.is_chief:
            return
        # What is written of the curves so far must not be lost with this process.
        self._board.flush()
        step = completed_steps(self.model)
        state = {
            "step": step,
            "batches": batches,
            "evaluation_due": self._evaluations.is_due(step)
            and self._evaluations.last_step != step,
            "total_steps": self.steps.total,
            "best": self._keep.state,
            "seconds": self.seconds,
            "replicas": self.model.distribute_strategy.num_replicas_in_sync,
            **self.marks,
        }
        keep = self.job.config.runtime.keep_checkpoints
        folder = self.run.checkpoint(step)
        others = [x for x in self.run.saved_checkpoints() if x != folder]
        save_checkpoint(folder, self.model, state, obsolete=others[keep - 1 :])
        self.run.publish()

    def _keep_or_stop(self, step: int, metrics: Metrics) -> bool:
        stops = self._keep.on_evaluation(step, metrics)
        if stops:
            console.print(
                f"stopping: no better {self._keep.metric} in {self._keep.patience} "
                "evaluations"
            )
        return stops

    def _publish(self, step: int, metrics: Metrics) -> None:
        self._board.flush()
        self.run.publish()

    def _evaluate(self) -> dict[str, float]:
        metrics = self._workers.from_chief(self._scored)
        if metrics is None:
            self.interrupt.requested = True
            raise StoppedAtOnce
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        console.print(f"step {completed_steps(self.model)}: {shown}")
        return metrics

    def _scored(self) -> dict[str, float] | None:
        """The metrics of the model as it is; `None` where a signal came."""
        try:
            # The checkpoint before it is written: a signal need not wait.
            with self.interrupt.at_once():
                self._use_trunk()
                self._latest = self._scorer.score(
                    self.validation.rows,
                    self.validation.tokenised,
                    on_batch=self._progress.on_scored,
                )
        except StoppedAtOnce:
            return None
        return self._latest.metrics

    def _use_trunk(self) -> None:
        if self._trunk is not None and self._scorer.trunk is None:
            self._scorer.trunk = filled_cache(
                self.job, self._trunk, self.validation, self._progress.on_scored
            )

    def _samples(self) -> list[dict]:
        records = self._latest.records
        count = min(SAMPLES, len(records))
        chosen = random.Random(0).sample(range(len(records)), count)
        return [records[index] for index in sorted(chosen)]
