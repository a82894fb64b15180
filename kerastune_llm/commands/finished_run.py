"""A run directory opened again, for the verbs that use its model."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerastune_llm.commands.job import Job, assemble, make_scorer
from kerastune_llm.commands.saved import load_trained
from kerastune_llm.config import RunConfig, merge, read_config_file
from kerastune_llm.models.load_report import LoadReport
from kerastune_llm.models.loading import load_model_with_report
from kerastune_llm.rundir import RunDir
from kerastune_llm.training.precision import set_precision
from kerastune_llm.training.scoring import Scorer


def open_run(
    path: str | Path, changes: Mapping[str, Any] | None = None
) -> tuple[RunDir, Job]:
    """The run directory and its job, with `changes` laid over its configuration.

    Raises:
        UserError: There is no run with a saved model.
    """
    run = RunDir.open(path)
    values = merge(read_config_file(run.config), changes or {})
    # An adapter's tokenizer and configuration are those of its base model.
    source = run.model if run.model.is_dir() else None
    return run, assemble(RunConfig.parse(values), source)


def load_scorer(run: RunDir, job: Job) -> Scorer:
    """The run's saved model in the run's precision, ready to answer."""
    with _precision_of(job):
        model = load_trained(run, job)
    return make_scorer(job, model)


def load_untuned(job: Job) -> tuple[Scorer, LoadReport]:
    """The model that a run began with, in the run's precision, ready to answer.

    The report says which of its weights no checkpoint has given: those of a new head
    are random.
    """
    config = job.config
    with _precision_of(job):
        model, report = load_model_with_report(
            config.model,
            kind=job.model_kind,
            labels=job.task.labels or None,
            from_scratch=config.from_scratch,
            seed=config.runtime.seed,
        )
    return make_scorer(job, model), report


@contextlib.contextmanager
def _precision_of(job: Job) -> Iterator[None]:
    model_type = job.model_config.model_type
    set_precision(job.config.runtime.precision, model_type)
    try:
        yield
    finally:
        set_precision("float32", model_type)
