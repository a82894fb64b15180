"""The cells of a transfer matrix: one model scored on the rows of each task.

A cell is written down when it is done, inside the run whose model it is, and read
again as long as the configuration of the task it was scored on is the same.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from kerastune_llm.commands.console import console, progress
from kerastune_llm.commands.finished_run import load_scorer, load_untuned
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.splits import load_validation
from kerastune_llm.commands.trials import Study, Trial
from kerastune_llm.config import RunConfig, read_config_file
from kerastune_llm.rundir import RunDir, write_json
from kerastune_llm.training.scoring import Scorer


def score_run(
    study: Study, trained: Trial, columns: Sequence[Trial]
) -> dict[str, float]:
    """The score of a run's saved model on each task, by the task's name.

    Args:
        study: The folder.
        trained: The run.
        columns: Tasks to score on, their runs finished; its own score is known.
    """
    run = study.run(trained)
    scores = {}
    for column in columns:
        if column.name == trained.name:
            scores[column.name] = read_config_file(run.metrics)[column.metric]
            continue
        scores[column.name] = _cell(
            run.path / "transfer" / f"{column.name}.json",
            f"{trained.title} on {column.title}",
            column,
            partial(_tuned, run, study.run(column)),
        )
    return scores


def score_base(study: Study, columns: Sequence[Trial]) -> dict[str, float]:
    """The score of the untuned base model on each task, by the task's name."""
    return {
        column.name: _cell(
            study.path / "untuned" / f"{column.name}.json",
            f"untuned on {column.title}",
            column,
            partial(_untuned, study.run(column)),
        )
        for column in columns
    }


def _cell(
    path: Path, title: str, column: Trial, prepare: Callable[[], tuple[Job, Scorer]]
) -> float:
    """One score, read from `path` if it is there, else found and written to it."""
    if path.exists():
        cell = read_config_file(path)
        if cell["configuration"] == column.values:
            return cell["metrics"][column.metric]
    job, scorer = prepare()
    split = load_validation(job)
    with progress(title) as on_batch:
        metrics = scorer.score(split.rows, split.tokenised, on_batch).metrics
    write_json(path, {"configuration": column.values, "metrics": metrics})
    score = metrics[column.metric]
    console.print(f"{title}: {column.metric} {score:.4g}", markup=False)
    return score


def _tuned(trained: RunDir, other: RunDir) -> tuple[Job, Scorer]:
    """The job of another run, and a run's own model ready to do it."""
    # A whole model brings its tokenizer; an adapter has that of its base model.
    job = _job(other, trained.model if trained.model.is_dir() else None)
    return job, load_scorer(trained, job)


def _untuned(other: RunDir) -> tuple[Job, Scorer]:
    """The job of a run, and its base model ready to do it."""
    job = _job(other)
    return job, load_untuned(job)[0]


def _job(run: RunDir, source: Path | None = None) -> Job:
    """The job of a finished run, its labels known."""
    return assemble(RunConfig.parse(read_config_file(run.config)), source)
