"""One trial of `kerastune tune`: a run that reports its evaluations to the study."""

import json

from kerastune_llm.backend import keras
from kerastune_llm.commands.configured_task import configured_task
from kerastune_llm.commands.console import console
from kerastune_llm.commands.train import TrainResult, train
from kerastune_llm.commands.tune_search import Search
from kerastune_llm.commands.tune_work import run_folder_lock
from kerastune_llm.config import RunConfig
from kerastune_llm.locks import sharing
from kerastune_llm.rundir import RunDir


class ReportEvaluations(keras.callbacks.Callback):
    """Reports each evaluation of a run to the study, and stops a run that is behind.

    They are read from the run's own `metrics.jsonl`, where those before a resume are
    too. A run that ends anyway is not stopped.

    Args:
        run: The run directory.
        metric: Name among the metrics.
        search: The study.
        number: Of the trial in it.
    """

    def __init__(self, run: RunDir, metric: str, search: Search, number: int) -> None:
        super().__init__()
        self.run = run
        self.metric = metric
        self.search = search
        self.number = number
        self._position = 0
        self._evaluations = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for score in self._new_scores():
            self._evaluations += 1
            is_behind = self.search.report(self.number, self._evaluations, score)
            if is_behind and not self.model.stop_training:
                console.print("stopping: below the median of the other trials")
                self.search.mark_pruned(self.number)
                self.model.stop_training = True

    def next_due(self, step: int) -> int | None:
        """None: after an evaluation it is called anyway."""
        return None

    def _new_scores(self) -> list[float]:
        if not self.run.history.exists():
            return []
        with self.run.history.open("rb") as file:
            file.seek(self._position)
            records = [json.loads(line) for line in file.readlines()]
            self._position = file.tell()
        return [x["evaluation"][self.metric] for x in records if "evaluation" in x]


def run_trial(
    config: RunConfig, *, storage: str, study: str, number: int
) -> TrainResult:
    """Train with a trial's configuration, from its last checkpoint if there is one.

    Args:
        config: The trial's; `output` is its run directory.
        storage: URL of the study's database.
        study: Its name there.
        number: Of the trial, which another process has asked for.

    Raises:
        UserError: As `train`; the database cannot be opened.
    """
    metric = configured_task(config).best_metric
    search = Search(storage, study, lower_is_better=metric == "loss")
    callback = ReportEvaluations(RunDir(config.output), metric, search, number)
    with sharing(run_folder_lock(config.output)):
        return train(config, callbacks=[callback], resume=True)
